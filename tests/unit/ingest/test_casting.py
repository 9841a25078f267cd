from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest

from headrace_batch.ingest.casting import cast, is_castable
from headrace_schemas.columns import Column, ColumnRole, ColumnType

INTEGER = Column("n", ColumnType.INT64)
TIME = Column("t", ColumnType.INT64, role=ColumnRole.TIME_MS)
NUMBER = Column("x", ColumnType.FLOAT64)
TEXT = Column("s", ColumnType.STRING)
TRUTH = Column("b", ColumnType.BOOL)


def told(values: pa.Array, column: Column) -> list[Any]:
    """Each value, or in its place the reason against it."""
    result = cast(values, column)
    row: list[Any] = result.values.to_pylist()
    for reason, places in result.refused:
        for place in places.nonzero()[0]:
            assert row[place] is None
            row[place] = reason.value
    return row


@pytest.mark.parametrize("kind", [pa.int8(), pa.int32(), pa.uint16(), pa.int64(), pa.uint64()])
def test_integers_of_any_width_become_64_bits(kind: pa.DataType) -> None:
    assert told(pa.array([1, None, 100], kind), INTEGER) == [1, None, 100]


def test_an_unsigned_integer_beyond_int64_overflows() -> None:
    values = pa.array([2**63 - 1, 2**63, None], pa.uint64())
    assert told(values, INTEGER) == [2**63 - 1, "integer_overflow", None]


def test_a_float_without_a_fraction_is_an_integer_and_any_other_is_none() -> None:
    values = pa.array([1.0, -3.0, 1.5, float("nan"), float("inf"), 2.0**63, -(2.0**63), None])
    wrong = "wrong_type"
    expected = [1, -3, wrong, wrong, wrong, "integer_overflow", -(2**63), None]
    assert told(values, INTEGER) == expected


def test_a_decimal_without_a_fraction_is_an_integer_and_any_other_is_none() -> None:
    values = pa.array([Decimal("1.00"), None, Decimal("1.50"), Decimal("1e19")])
    assert told(values, INTEGER) == [1, None, "wrong_type", "integer_overflow"]


def test_decimals_become_doubles() -> None:
    assert told(pa.array([Decimal("1.25"), None]), NUMBER) == [1.25, None]


def test_a_large_integer_becomes_the_nearest_double() -> None:
    assert told(pa.array([2**53 + 1, None]), NUMBER) == [float(2**53), None]


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
@pytest.mark.parametrize("zone", [None, "UTC", "Europe/Berlin"])
def test_a_timestamp_of_any_unit_and_zone_becomes_milliseconds(unit: str, zone: str | None) -> None:
    moment = datetime(2018, 4, 1, 0, 0, 31, tzinfo=UTC)
    values = pa.array([moment.replace(tzinfo=None), None], pa.timestamp(unit)).cast(pa.int64())
    timestamps = values.cast(pa.timestamp(unit, zone))
    assert told(timestamps, TIME) == [1_522_540_831_000, None]


def test_a_timestamp_is_cut_to_milliseconds_towards_the_past() -> None:
    values = pa.array([1_999, -1, -1_000, -1_001], pa.int64()).cast(pa.timestamp("us"))
    assert told(values, TIME) == [1, -1, -1, -2]


def test_a_timestamp_whose_milliseconds_leave_int64_overflows() -> None:
    values = pa.array([2**62, 1], pa.int64()).cast(pa.timestamp("s"))
    assert told(values, TIME) == ["integer_overflow", 1000]


def test_an_offset_in_a_timestamp_is_taken_into_account() -> None:
    moment = datetime(2018, 4, 1, 2, tzinfo=timezone(timedelta(hours=2)))
    assert told(pa.array([moment]), TIME) == [1_522_540_800_000]


def test_integers_become_text_without_loss() -> None:
    assert told(pa.array([596, None, -1]), TEXT) == ["596", None, "-1"]


def test_bytes_are_text_where_they_are_utf_8() -> None:
    values = pa.array([b"caf\xc3\xa9", b"\xff", None, b""], pa.binary())
    assert told(values, TEXT) == ["café", "bad_format", None, ""]


def test_text_that_is_falsely_called_utf_8_is_found() -> None:
    values = pa.array([b"\xff\xfe", b"fine"], pa.binary()).view(pa.string())
    assert told(values, TEXT) == ["bad_format", "fine"]


def test_zero_and_one_are_truth_values_and_no_other_number() -> None:
    assert told(pa.array([0, 1, 2, None], pa.int32()), TRUTH) == [False, True, "wrong_type", None]


def test_a_dictionary_is_taken_as_its_values() -> None:
    assert told(pa.array(["a", None, "a"]).dictionary_encode(), TEXT) == ["a", None, "a"]


def test_a_column_without_a_type_is_null() -> None:
    assert told(pa.nulls(2), INTEGER) == [None, None]


def test_text_in_a_number_column_is_judged_row_by_row() -> None:
    assert told(pa.array(["1", "x", None]), INTEGER) == [1, "wrong_type", None]


@pytest.mark.parametrize(
    ("kind", "column"),
    [
        (pa.list_(pa.int64()), INTEGER),
        (pa.struct([("a", pa.int64())]), TEXT),
        (pa.float64(), TEXT),
        (pa.bool_(), INTEGER),
        (pa.bool_(), TEXT),
        (pa.float64(), TRUTH),
        (pa.timestamp("ms"), INTEGER),
        (pa.timestamp("ms"), TEXT),
        (pa.date32(), TIME),
        (pa.duration("ms"), TIME),
    ],
)
def test_a_column_that_could_only_be_guessed_at_is_refused(
    kind: pa.DataType, column: Column
) -> None:
    assert not is_castable(kind, column)
