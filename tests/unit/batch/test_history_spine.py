"""A spine is checked before anything is computed: one clear error for each mistake."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import date

import numpy as np
import pyarrow as pa
import pytest

from headrace_batch.history_spine import (
    ROW,
    SpineRows,
    checked_rows,
    result_schema,
    row_columns,
    survey,
)
from headrace_features import Count, Entity, EventSource, FeatureView
from headrace_features.definitions.views import Selection
from headrace_features.fraud.definitions import card_activity, terminal_risk
from headrace_schemas.errors import BadRecordError, ConfigurationError
from headrace_schemas.events import Event
from headrace_schemas.reasons import Reason

T0 = 1_600_000_000_000


class Visit(Event, frozen=True, kw_only=True):
    """An event with a number as its key."""

    event_id: str
    user_id: int
    event_time: int


VISITS = FeatureView(
    "visits", 1, Entity("user", "user_id"), EventSource("visits", Visit), [Count()]
)


def spine(**columns: object) -> pa.Table:
    """Two good rows, with some columns replaced; None leaves one out."""
    good: dict[str, object] = {
        "card_id": pa.array(["a", "b"]),
        "event_time": pa.array([T0, T0 + 1]),
        "transaction_id": pa.array(["t1", None]),
    }
    good.update(columns)
    return pa.table({name: column for name, column in good.items() if column is not None})


def in_pieces(table: pa.Table, rows: int) -> SpineRows:
    """The rows of a table, so many at a time."""

    def read(columns: Sequence[str]) -> Iterator[pa.Table]:
        wanted = table.select(list(columns))
        return (wanted.slice(start, rows) for start in range(0, len(table), rows))

    return SpineRows(table.schema, len(table), read)


@pytest.mark.parametrize(
    ("table", "words"),
    [
        (spine(card_id=None), ["no column 'card_id'", "card_activity", "it has event_time"]),
        (spine(event_time=None), ["no column 'event_time'"]),
        (spine(card_id=pa.array([1.5, 2.5])), ["'card_id'", "double", "expected string"]),
        (
            spine(card_id=pa.array([7, 8])),
            ["'card_id' of the spine is int64, expected string", "events of transactions"],
        ),
        (spine(card_id=pa.array([7, 8]).dictionary_encode()), ["'card_id'", "values=int64"]),
        (spine(transaction_id=pa.array([7, 8])), ["'transaction_id'", "int64", "expected string"]),
        (spine(event_time=pa.array(["1", "2"])), ["'event_time'", "string", "milliseconds"]),
        (spine(event_time=pa.array([1.0, 2.0])), ["'event_time'", "double"]),
        (spine(event_time=pa.array([date(2020, 1, 1)] * 2)), ["'event_time'", "date32"]),
        (spine(transaction_id=pa.array([b"1", b"2"])), ["'transaction_id'", "binary"]),
    ],
)
def test_a_column_that_is_missing_or_of_another_type_is_named(
    table: pa.Table, words: list[str]
) -> None:
    with pytest.raises(ConfigurationError) as caught:
        row_columns(card_activity, table.schema)
    assert all(word in str(caught.value) for word in words), str(caught.value)


@pytest.mark.parametrize(
    ("table", "reason", "words"),
    [
        (spine(card_id=pa.array(["a", None])), Reason.NULL_KEY, ["row 11", "no card_id"]),
        (spine(event_time=pa.array([None, T0])), Reason.NULL_VALUE, ["row 10", "no event_time"]),
        (
            spine(event_time=pa.array([T0, T0 // 1000])),
            Reason.EVENT_TIME_WRONG_UNIT,
            ["row 11", "looks like seconds"],
        ),
        (
            spine(event_time=pa.array([T0 * 1_000_000, T0])),
            Reason.EVENT_TIME_WRONG_UNIT,
            ["row 10", "looks like nanoseconds"],
        ),
        (
            spine(event_time=pa.array([T0, 5])),
            Reason.EVENT_TIME_OUT_OF_RANGE,
            ["row 11", "5 is no time"],
        ),
        (
            spine(event_time=pa.array([T0, 2**64 - 1], pa.uint64())),
            Reason.EVENT_TIME_OUT_OF_RANGE,
            ["row 11"],
        ),
        (
            spine(event_time=pa.array([T0 // 1000, 2**62], pa.timestamp("s"))),
            Reason.EVENT_TIME_OUT_OF_RANGE,
            ["row 11"],
        ),
    ],
)
def test_a_row_without_a_key_or_a_time_is_named(
    table: pa.Table, reason: Reason, words: list[str]
) -> None:
    with pytest.raises(BadRecordError) as caught:
        checked_rows(card_activity, table, 10)
    assert caught.value.reason is reason
    assert all(word in str(caught.value) for word in words), str(caught.value)


@pytest.mark.parametrize(
    "times",
    [
        pa.array([T0, T0 + 1]),
        pa.array([T0, T0 + 1], pa.uint64()),
        pa.array([T0, T0 + 1], pa.timestamp("ms")),
        pa.array([T0, T0 + 1], pa.timestamp("ms", tz="UTC")),
        pa.array([T0, T0 + 1], pa.timestamp("ms", tz="America/New_York")),
        pa.array([T0 * 1000, T0 * 1000 + 1999], pa.timestamp("us")),
        pa.array([T0 * 1_000_000 + 999_999, T0 * 1_000_000 + 1_000_000], pa.timestamp("ns")),
    ],
)
def test_times_of_every_unit_and_zone_are_milliseconds_utc(times: pa.Array) -> None:
    rows = checked_rows(card_activity, spine(event_time=times), 0)
    assert rows["event_time"].to_pylist() == [T0, T0 + 1]
    assert rows[ROW].to_pylist() == [0, 1]


def test_times_in_whole_seconds_are_accepted_as_timestamps() -> None:
    times = pa.array([T0 // 1000, T0 // 1000 + 1], pa.timestamp("s"))
    assert checked_rows(card_activity, spine(event_time=times), 0)["event_time"].to_pylist() == [
        T0,
        T0 + 1000,
    ]


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        (pa.array(["7", "8"]), ["7", "8"]),
        (pa.array(["7", "8"], pa.large_string()), ["7", "8"]),
        (pa.array(["7", "8"]).dictionary_encode(), ["7", "8"]),
    ],
)
def test_texts_of_any_layout_are_keys_of_texts(keys: pa.Array, expected: list[str]) -> None:
    rows = checked_rows(card_activity, spine(card_id=keys), 0)
    assert rows["card_id"].type == pa.string()
    assert rows["card_id"].to_pylist() == expected


@pytest.mark.parametrize("kind", [pa.int8(), pa.uint32(), pa.int64(), pa.uint64()])
def test_whole_numbers_of_any_width_are_keys_of_numbers(kind: pa.DataType) -> None:
    table = spine(card_id=None, user_id=pa.array([7, 8], kind))
    rows = checked_rows(VISITS, table, 0)
    assert rows["user_id"].type == pa.int64()
    assert rows["user_id"].to_pylist() == [7, 8]


def test_a_number_that_is_no_key_of_the_source_is_refused() -> None:
    table = spine(card_id=None, user_id=pa.array([7, 2**63], pa.uint64()))
    with pytest.raises(BadRecordError, match=r"'user_id' of the spine is uint64 .* int64"):
        checked_rows(VISITS, table, 0)


def test_texts_are_no_keys_where_the_source_has_numbers() -> None:
    table = spine(card_id=None, user_id=pa.array(["7", "8"]))
    with pytest.raises(ConfigurationError, match=r"'user_id' .* is string, expected int64 as in"):
        row_columns(VISITS, table.schema)


def test_the_current_event_is_read_only_where_a_view_leaves_it_out() -> None:
    assert "transaction_id" in checked_rows(card_activity, spine(), 0).column_names
    terminals = spine(terminal_id=pa.array(["x", "y"]))
    assert "transaction_id" not in checked_rows(terminal_risk, terminals, 0).column_names


def test_a_survey_finds_the_first_and_the_last_time_over_all_pieces() -> None:
    table = pa.concat_tables([spine(event_time=pa.array([T0 + n, T0 - n])) for n in range(5)])
    found = survey([Selection(card_activity, ("count_1d",))], in_pieces(table, 3))
    assert (found.rows, found.first_ms, found.last_ms) == (10, T0 - 4, T0 + 4)


def test_a_wrong_row_in_a_later_piece_is_counted_from_the_beginning() -> None:
    table = pa.concat_tables([spine(), spine(card_id=pa.array(["a", None]))])
    with pytest.raises(BadRecordError, match="row 3 of the spine has no card_id"):
        survey([Selection(card_activity, ("count_1d",))], in_pieces(table, 1))


def test_a_column_that_the_result_would_have_twice_is_refused() -> None:
    table = spine(card_activity__count_1d=pa.array(np.zeros(2)))
    with pytest.raises(ConfigurationError, match="two columns 'card_activity__count_1d'"):
        result_schema([Selection(card_activity, ("count_1d",))], table.schema)
