from __future__ import annotations

import pyarrow as pa
import pytest

from headrace_batch.ingest import text_values
from headrace_batch.ingest.text_values import Parsed

INT64_MAX = 2**63 - 1


def told(parsed: Parsed) -> list[object]:
    """Each value, or in its place what is wrong with it."""
    return [
        "wrong" if wrong else "overflow" if overflows else value
        for value, wrong, overflows in zip(
            parsed.values.to_pylist(), parsed.wrong, parsed.overflows, strict=True
        )
    ]


def text(*values: str | None) -> pa.Array:
    return pa.array(values, pa.string())


def test_integers_are_read_with_signs_and_white_space() -> None:
    read = text_values.integers(text("12", "-5", "+7", " 8 ", "007", None, "", "  "))
    assert told(read) == [12, -5, 7, 8, 7, None, None, None]


def test_what_is_no_decimal_integer_is_wrong() -> None:
    read = text_values.integers(text("0x10", "1.0", "1e3", "1_000", "abc", "-", "٣", "1"))
    assert told(read) == ["wrong"] * 7 + [1]


def test_an_integer_reads_the_same_whatever_stands_beside_it() -> None:
    for value in ("0x10", "12", "-12", "+3", "99999999999999999999", "x", " 4"):
        alone = told(text_values.integers(text(value)))
        assert told(text_values.integers(text(value, "?")))[:1] == alone


def test_integers_beyond_64_bits_overflow() -> None:
    read = text_values.integers(
        text(str(INT64_MAX), str(INT64_MAX + 1), str(-INT64_MAX - 1), str(-INT64_MAX - 2), "9" * 40)
    )
    assert told(read) == [INT64_MAX, "overflow", -INT64_MAX - 1, "overflow", "overflow"]


def test_leading_zeros_are_no_overflow() -> None:
    assert told(text_values.integers(text("0" * 30 + "5"))) == [5]


def test_decimal_numbers_are_read_with_exponents() -> None:
    read = text_values.floats(text("1.5", "-2", ".5", "3.", "1e3", "+4", " 5 ", None, ""))
    assert told(read) == [1.5, -2.0, 0.5, 3.0, 1000.0, 4.0, 5.0, None, None]


def test_what_is_no_number_is_wrong_beside_numbers() -> None:
    assert told(text_values.floats(text("1,5", "0x1p3", "one", "2.5"))) == ["wrong"] * 3 + [2.5]


def test_truth_values_are_read_in_any_case() -> None:
    read = text_values.bools(text("true", "FALSE", "1", "0", " True ", None, "", "yes", "2"))
    assert told(read) == [True, False, True, False, True, None, None, "wrong", "wrong"]


@pytest.mark.parametrize(
    ("written", "time_ms"),
    [
        ("1522540831000", 1_522_540_831_000),
        ("2018-04-01 00:00:31", 1_522_540_831_000),
        ("2018-04-01T00:00:31", 1_522_540_831_000),
        ("2018-04-01T00:00:31Z", 1_522_540_831_000),
        ("2018-04-01T02:00:31+02:00", 1_522_540_831_000),
        ("2018-04-01T02:00:31.5+0200", 1_522_540_831_500),
        ("2018-04-01 00:00:31.123456789", 1_522_540_831_123),
        ("2018-04-01 00:00:31.9999", 1_522_540_831_999),
        ("2018-04-01", 1_522_540_800_000),
        ("1969-12-31 23:59:59.9999", -1),
        ("9999-12-31", 253_402_214_400_000),
    ],
)
def test_a_time_is_milliseconds_or_iso_8601(written: str, time_ms: int) -> None:
    assert told(text_values.times_ms(text(written))) == [time_ms]
    assert told(text_values.times_ms(text("?", written, None))) == ["wrong", time_ms, None]


@pytest.mark.parametrize(
    "written", ["31/12/2018", "2018-13-01", "2018-02-30", "2018-04-01T24:00:00", "12:00", "soon"]
)
def test_what_is_no_time_is_wrong(written: str) -> None:
    assert told(text_values.times_ms(text(written, "2018-02-28"))) == ["wrong", 1_519_776_000_000]
