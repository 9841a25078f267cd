"""Says in words what is wrong with one record, given as plain values by column name."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING

from headrace_schemas.columns import INT64_MAX, INT64_MIN, Column, ColumnRole, ColumnType
from headrace_schemas.errors import BadRecordError
from headrace_schemas.event_times import PLAUSIBLE, TimeRange, time_problem
from headrace_schemas.reasons import Reason

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_EXPECTED = {
    ColumnType.INT64: "a 64-bit integer",
    ColumnType.FLOAT64: "a finite number",
    ColumnType.STRING: "text",
    ColumnType.BOOL: "true or false",
}
_TIME = "an integer, milliseconds since 1970-01-01 UTC"
_ACCEPTED: dict[ColumnType, type | tuple[type, ...]] = {
    ColumnType.INT64: int,
    ColumnType.FLOAT64: (float, int),
    ColumnType.STRING: str,
    ColumnType.BOOL: bool,
}
_LONGEST_SHOWN = 60
_LONGEST_BITS = 128


def first_problem(
    record: Mapping[str, object],
    columns: Iterable[Column],
    *,
    owner: str,
    plausible: TimeRange = PLAUSIBLE,
) -> BadRecordError | None:
    """The first problem of `record` in the order of `columns`; None when there is none.

    Values are None, bool, int, float or str; `owner` names the contract in the message. Names
    in `record` that are no column are ignored.
    """
    for column in columns:
        found = _problem(column, record, plausible)
        if found is not None:
            reason, text = found
            return BadRecordError(reason, f"{owner}.{column.name} {text}", field=column.name)
    return None


def _problem(
    column: Column, record: Mapping[str, object], plausible: TimeRange
) -> tuple[Reason, str] | None:
    if column.name not in record:
        return None if column.nullable else (Reason.MISSING_FIELD, "is missing")
    value = record[column.name]
    if value is None:
        return _problem_of_null(column)
    # Python counts True and False as integers; a column does not.
    is_misplaced_bool = isinstance(value, bool) and column.type is not ColumnType.BOOL
    if is_misplaced_bool or not isinstance(value, _ACCEPTED[column.type]):
        return Reason.WRONG_TYPE, f"is {_shown(value)}, expected {_expected(column)}"
    return _problem_of_value(column, value, plausible)


def _problem_of_value(
    column: Column, value: object, plausible: TimeRange
) -> tuple[Reason, str] | None:
    match value:
        case str():
            return _problem_of_text(column, value)
        case bool():
            return None
        case int() if column.type is ColumnType.INT64:
            return _problem_of_integer(column, value, plausible)
        case int() | float():
            return _problem_of_float(column, value)
    return None


def _problem_of_null(column: Column) -> tuple[Reason, str] | None:
    if column.role is ColumnRole.IDENTIFIER:
        return Reason.NULL_KEY, "is null, expected an identifier"
    if column.nullable:
        return None
    return Reason.NULL_VALUE, f"is null, expected {_expected(column)}"


def _problem_of_text(column: Column, value: str) -> tuple[Reason, str] | None:
    if not value and column.role is ColumnRole.IDENTIFIER:
        return Reason.NULL_KEY, "is empty, expected an identifier"
    if column.min_length is not None and len(value) < column.min_length:
        wanted = f"at least {column.min_length} characters"
    elif column.max_length is not None and len(value) > column.max_length:
        wanted = f"at most {column.max_length} characters"
    elif column.pattern is not None and not re.search(column.pattern, value):
        wanted = f"text that matches {column.pattern}"
    else:
        return None
    return Reason.BAD_FORMAT, f"is {_shown(value)}, expected {wanted}"


def _problem_of_integer(
    column: Column, value: int, plausible: TimeRange
) -> tuple[Reason, str] | None:
    if not INT64_MIN <= value <= INT64_MAX:
        # Python refuses to spell out integers of more than some thousand digits.
        is_short = value.bit_length() <= _LONGEST_BITS
        shown = str(value) if is_short else f"an integer of more than {_LONGEST_BITS} bits"
        return Reason.INTEGER_OVERFLOW, f"is {shown}, expected {_expected(column)}"
    if column.role is ColumnRole.TIME_MS and (problem := time_problem(value, plausible)):
        return problem.reason, f"is no plausible time: {problem.message}"
    return _problem_of_size(column, value)


def _problem_of_float(column: Column, value: float) -> tuple[Reason, str] | None:
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        return Reason.NOT_FINITE, "is not finite, expected a finite number"
    return _problem_of_size(column, number)


def _problem_of_size(column: Column, value: float) -> tuple[Reason, str] | None:
    if column.minimum is not None and value < column.minimum:
        return Reason.OUT_OF_RANGE, f"is {value}, expected at least {column.minimum}"
    if column.maximum is not None and value > column.maximum:
        return Reason.OUT_OF_RANGE, f"is {value}, expected at most {column.maximum}"
    return None


def _expected(column: Column) -> str:
    return _TIME if column.role is ColumnRole.TIME_MS else _EXPECTED[column.type]


def _shown(value: object) -> str:
    if value is True or value is False:
        return "true" if value else "false"
    if isinstance(value, dict | list):
        return "an object" if isinstance(value, dict) else "a list"
    text = repr(value)
    return text if len(text) <= _LONGEST_SHOWN else f"{text[:_LONGEST_SHOWN]}…"
