"""Columns are read from annotations, and whatever no table can hold is refused by name."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

import msgspec
import pytest

from headrace_schemas.columns import Column, ColumnRole, ColumnType, columns_of
from headrace_schemas.errors import ConfigurationError
from headrace_schemas.events import Event, Identifier, TimeMs, Transaction


class Visit(Event, frozen=True, kw_only=True):
    visit_id: Identifier
    event_time: TimeMs
    seconds: Annotated[int, msgspec.Meta(ge=0, le=3600)]
    share: Annotated[float, msgspec.Meta(ge=0.0)] | None = None
    page: Annotated[str, msgspec.Meta(min_length=1, max_length=9, pattern="^/")] | None = None
    signed_in: bool


def test_columns_follow_the_declaration_with_their_types_limits_and_roles() -> None:
    assert columns_of(Visit) == (
        Column("visit_id", ColumnType.STRING, min_length=1, role=ColumnRole.IDENTIFIER),
        Column("event_time", ColumnType.INT64, role=ColumnRole.TIME_MS),
        Column("seconds", ColumnType.INT64, minimum=0, maximum=3600),
        Column("share", ColumnType.FLOAT64, nullable=True, minimum=0.0),
        Column("page", ColumnType.STRING, nullable=True, min_length=1, max_length=9, pattern="^/"),
        Column("signed_in", ColumnType.BOOL),
    )


def test_what_a_source_may_lack_of_a_transaction_is_nullable_and_the_rest_is_not() -> None:
    nullable = [column.name for column in columns_of(Transaction) if column.nullable]
    assert nullable == ["currency", "country", "latitude", "longitude", "channel"]


@pytest.mark.parametrize(
    ("annotation", "default", "expected"),
    [
        (dict[str, int], msgspec.NODEFAULT, "Bad.field has a type that no column has: dict;"),
        (list[int], msgspec.NODEFAULT, "no column has: list; allowed: int, float, str, bool"),
        (datetime, msgspec.NODEFAULT, "no column has: datetime;"),
        (Visit, msgspec.NODEFAULT, "no column has: struct;"),
        (Any, msgspec.NODEFAULT, "no column has: any;"),
        (int | str, msgspec.NODEFAULT, "no column has: int | str;"),
        (int | str | None, None, "no column has: int | none | str;"),
        (bytes | None, None, "no column has: bytes;"),
        (int | None, msgspec.NODEFAULT, "may be null but does not default to None"),
        (int | None, 0, "may be null but does not default to None"),
        (int, 0, "has a default but may not be null"),
        (Annotated[int, msgspec.Meta(gt=0)], msgspec.NODEFAULT, "ge and le"),
        (Annotated[float, msgspec.Meta(multiple_of=0.5)], msgspec.NODEFAULT, "ge and le"),
    ],
)
def test_a_field_that_is_no_column_is_refused_by_name_with_what_is_allowed(
    annotation: Any, default: object, expected: str
) -> None:
    schema = msgspec.defstruct("Bad", [("field", annotation, default)], kw_only=True)
    with pytest.raises(ConfigurationError) as caught:
        columns_of(schema)
    assert "Bad.field" in str(caught.value)
    assert _same_members(expected) in _same_members(str(caught.value))


def _same_members(text: str) -> str:
    # msgspec orders the members of a union as it likes.
    return text.replace("int | str | none", "int | none | str")


@pytest.mark.parametrize("name", ["_hidden", "größe"])
def test_a_name_that_engines_would_not_all_accept_is_refused(name: str) -> None:
    schema = type("Bad", (Event,), {"__annotations__": {name: int}})
    with pytest.raises(ConfigurationError, match=f"Bad.{name} is no name for a column"):
        columns_of(schema)


def test_names_that_differ_only_in_case_are_refused() -> None:
    schema = msgspec.defstruct("Bad", [("amount", int), ("Amount", int)])
    with pytest.raises(ConfigurationError, match="differ only in case"):
        columns_of(schema)


def test_a_layout_that_is_no_plain_object_is_refused() -> None:
    for schema in (
        msgspec.defstruct("Bad", [("a", int)], tag=True),
        msgspec.defstruct("Bad", [("a", int)], array_like=True),
        msgspec.defstruct("Bad", [("a_b", int)], rename="camel"),
        msgspec.defstruct("Bad", []),
    ):
        with pytest.raises(ConfigurationError, match="Bad"):
            columns_of(schema)


def test_what_is_no_schema_is_refused() -> None:
    for found in (int, "Transaction", Transaction.__mro__[-1]):
        with pytest.raises(ConfigurationError, match="is no event schema"):
            columns_of(found)  # type: ignore[arg-type]  # the point of the test


def test_an_annotation_that_can_not_be_resolved_is_refused_with_its_name() -> None:
    schema = type("Bad", (Event,), {"__annotations__": {"a": "Nowhere"}})
    with pytest.raises(ConfigurationError, match="Nowhere"):
        columns_of(schema)
