"""Days of numbers become the tables of the contracts `Transaction` and `TransactionLabel`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from msgspec import Struct
from numpy.typing import NDArray

from headrace_batch.simulator.arrow_arrays import (
    NumberedIds,
    Texts,
    bool_array,
    consecutive_ids,
    float64_array,
    int64_array,
)
from headrace_batch.simulator.geography import (
    COUNTRIES,
    country_numbers,
    latitudes,
    longitudes,
)
from headrace_batch.simulator.model import CHANNELS, LABEL_DELAY_MS
from headrace_batch.simulator.neighbours import Places
from headrace_features.kernel.prepare import ARROW_TYPES
from headrace_schemas.columns import columns_of
from headrace_schemas.events import Transaction, TransactionLabel

# Twelve digits in every simulation: as text, too, identifiers are in the order of time.
_TRANSACTION_DIGITS = 12
_PARTY_DIGITS = 6

_CHANNEL_NAMES = Texts([name for name, _ in CHANNELS])
_COUNTRY_CODES = Texts([country.code for country in COUNTRIES])
_CURRENCIES = Texts([country.currency for country in COUNTRIES])


@dataclass(frozen=True, slots=True, eq=False)
class Rows:
    """Transactions in the order of time, as numbers; columns of equal length."""

    card: NDArray[np.int32]
    terminal: NDArray[np.int32]
    event_time_ms: NDArray[np.int64]
    amount_minor: NDArray[np.int64]
    channel: NDArray[np.int8]
    scenario: NDArray[np.int8]

    def head(self, count: int) -> Rows:
        """The first `count` rows."""
        return Rows(
            self.card[:count],
            self.terminal[:count],
            self.event_time_ms[:count],
            self.amount_minor[:count],
            self.channel[:count],
            self.scenario[:count],
        )


def joined(parts: Sequence[Rows]) -> Rows:
    """The rows of one or more parts, one part after the other."""
    return Rows(
        np.concatenate([part.card for part in parts]),
        np.concatenate([part.terminal for part in parts]),
        np.concatenate([part.event_time_ms for part in parts]),
        np.concatenate([part.amount_minor for part in parts]),
        np.concatenate([part.channel for part in parts]),
        np.concatenate([part.scenario for part in parts]),
    )


class TableBuilder:
    """Looks up what is known of cards and terminals, and names everything."""

    def __init__(self, world: str, cards: int, terminals: Places) -> None:
        self._prefix = f"tx{world}-"
        self._card_ids = NumberedIds("card-", cards, digits=_PARTY_DIGITS)
        self._terminal_ids = NumberedIds("terminal-", terminals.x.size, digits=_PARTY_DIGITS)
        self._country = country_numbers(terminals.x, terminals.y)
        self._latitude = latitudes(terminals.y)
        self._longitude = longitudes(terminals.x)

    def build(self, rows: Rows, first_number: int) -> tuple[pa.Table, pa.Table]:
        """The transactions and their labels; the first transaction has `first_number`."""
        country = self._country[rows.terminal]
        size = rows.card.size
        shared = {
            "transaction_id": consecutive_ids(
                self._prefix, first_number, size, digits=_TRANSACTION_DIGITS
            ),
            "card_id": self._card_ids.take(rows.card),
            "terminal_id": self._terminal_ids.take(rows.terminal),
            "event_time": int64_array(rows.event_time_ms),
        }
        transactions = {
            **shared,
            "amount_minor": int64_array(rows.amount_minor),
            "currency": _CURRENCIES.take(country),
            "country": _COUNTRY_CODES.take(country),
            "latitude": float64_array(self._latitude[rows.terminal]),
            "longitude": float64_array(self._longitude[rows.terminal]),
            "channel": _CHANNEL_NAMES.take(rows.channel),
        }
        labels = {
            **shared,
            "is_fraud": bool_array(rows.scenario > 0),
            "reported_at": int64_array(rows.event_time_ms + LABEL_DELAY_MS),
        }
        return _table(transactions, Transaction), _table(labels, TransactionLabel)


def _table(arrays: Mapping[str, pa.Array], contract: type[Struct]) -> pa.Table:
    schema = pa.schema([(column.name, ARROW_TYPES[column.type]) for column in columns_of(contract)])
    return pa.Table.from_arrays([arrays[name] for name in schema.names], schema=schema)
