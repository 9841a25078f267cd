"""Exact arithmetic: sums as fractions, rounded once."""

from __future__ import annotations

import math
from collections.abc import Iterable
from fractions import Fraction

from headrace_schemas.columns import INT64_MAX, INT64_MIN
from headrace_schemas.errors import BadRecordError
from headrace_schemas.reasons import Reason


def checked_int64(value: int, what: str) -> int:
    """The value, if it fits int64.

    Raises:
        BadRecordError: it doesn't; `what` says of which feature or column.
    """
    if INT64_MIN <= value <= INT64_MAX:
        return value
    raise BadRecordError(
        Reason.INTEGER_OVERFLOW,
        f"{what}: the sum {value} is outside int64",
        hint="filter the events that are out of proportion, or sum a smaller unit",
    )


def exact_sum(values: Iterable[float]) -> Fraction:
    """The sum of integers or finite doubles, without any rounding."""
    return sum((Fraction(value) for value in values), Fraction(0))


def to_double(value: Fraction | int) -> float:
    """The nearest double, half to even; infinite beyond the greatest."""
    try:
        return value.numerator / value.denominator
    except OverflowError:
        return math.inf if value > 0 else -math.inf
