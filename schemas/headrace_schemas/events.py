"""The events of the built-in project, and the base for the event schemas of others."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

from headrace_schemas.columns import ROLE, ColumnRole

# Building blocks for event schemas. A length beside the pattern closes the gap that `$` leaves
# in Python, where it also matches before a final newline.
Identifier = Annotated[str, Meta(min_length=1, extra={ROLE: ColumnRole.IDENTIFIER})]
TimeMs = Annotated[
    int,
    Meta(description="milliseconds since 1970-01-01 UTC", extra={ROLE: ColumnRole.TIME_MS}),
]
Currency = Annotated[
    str, Meta(min_length=3, max_length=3, pattern="^[A-Z]{3}$", description="ISO 4217 code")
]
Country = Annotated[
    str, Meta(min_length=2, max_length=2, pattern="^[A-Z]{2}$", description="ISO 3166 alpha-2")
]
Latitude = Annotated[float, Meta(ge=-90.0, le=90.0, description="degrees north")]
Longitude = Annotated[float, Meta(ge=-180.0, le=180.0, description="degrees east")]


class Event(Struct, frozen=True, kw_only=True, forbid_unknown_fields=False):
    """An immutable fact. Inherit with `frozen=True, kw_only=True` and declare flat fields.

    Fields are int (64 bits), float (finite), str or bool; what a source may lack is
    `| None = None`. Unknown fields are ignored when reading, so that a newer writer may add some.
    """


class Transaction(Event, frozen=True, kw_only=True):
    """A card was used at a terminal; the identity is `transaction_id`."""

    transaction_id: Identifier
    card_id: Identifier
    terminal_id: Identifier
    event_time: TimeMs
    amount_minor: Annotated[int, Meta(description="in minor units of the currency")]
    currency: Currency | None = None
    country: Country | None = None
    latitude: Latitude | None = None
    longitude: Longitude | None = None
    channel: str | None = None


class TransactionLabel(Event, frozen=True, kw_only=True):
    """What became known about a transaction, and when: it is in no feature before `reported_at`.

    `event_time` is the time of the transaction.
    """

    transaction_id: Identifier
    card_id: Identifier
    terminal_id: Identifier
    event_time: TimeMs
    is_fraud: bool
    reported_at: TimeMs
