"""Partials that are sums: the number of events, and the moments of a column.

Floating sums are kept as exact fractions, so that any order of adding gives the same value.
"""

# ruff: noqa: D102 - the protocol says what the methods of every partial do

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import repeat
from operator import mul
from typing import Any, NamedTuple, TypeGuard

from headrace_features.definitions.aggregates import Kind
from headrace_features.definitions.views import Feature
from headrace_features.numbers import checked_int64, to_double
from headrace_features.partials.blocks import EventBlock
from headrace_features.partials.packed import Numbers, pack_column, unpack_column
from headrace_features.partials.partial import IntegerSums, Part, Partial, PlainEncoding, Value
from headrace_schemas.columns import INT64_MAX, INT64_MIN, ColumnType


@dataclass(frozen=True, slots=True)
class CountPartial(PlainEncoding):
    """The number of events."""

    empty: int = 0

    @property
    def parts(self) -> tuple[Part, ...]:
        return (Part(None, 0),)

    def encoded_parts(self, data: Any) -> Sequence[Any]:
        return [data]

    def of_sums(self, sums: Sequence[list[int]]) -> list[int]:
        return sums[0]

    def fold(self, block: EventBlock, start: int, stop: int) -> int:
        del block
        return stop - start

    def combine(self, states: Sequence[int]) -> int:
        return sum(states)

    def encode_all(self, states: Sequence[int]) -> Any:
        return pack_column(states)

    def spread(self, data: Any) -> Sequence[Numbers]:
        return [unpack_column(data)]

    def gathered(self, columns: Sequence[Numbers]) -> Any:
        return pack_column(columns[0])

    def opened(self, data: Any) -> Numbers:
        return unpack_column(data)

    def range(self, states: Numbers, start: int, stop: int) -> int:
        return sum(states[start:stop])

    def finalize(self, state: int, feature: Feature) -> Value:
        del feature
        return state


class Moments(NamedTuple):
    """How many values, their sum and the sum of their squares, all exact."""

    n: int
    total: Fraction | int
    squares: Fraction | int


_NO_MOMENTS = Moments(0, 0, 0)


@dataclass(frozen=True, slots=True)
class MomentsPartial(PlainEncoding):
    """Sum and mean of one column; variance and standard deviation where squares are kept."""

    position: int
    floating: bool
    with_squares: bool
    empty: Moments = _NO_MOMENTS

    @property
    def parts(self) -> tuple[Part, ...]:
        powers = (0, 1, 2) if self.with_squares else (0, 1)
        return tuple(Part(self.position, power) for power in powers)

    def encoded_parts(self, data: Any) -> Sequence[Any]:
        return data  # type: ignore[no-any-return]

    def of_sums(self, sums: Sequence[list[int]]) -> list[Moments]:
        counts, totals = sums[:2]
        squares = sums[2] if self.with_squares else repeat(0)
        return list(map(Moments, counts, totals, squares))

    def fold(self, block: EventBlock, start: int, stop: int) -> Moments:
        values = block.columns[self.position][start:stop]
        # What is packed has no nulls.
        if isinstance(values, list) and None in values:
            values = [value for value in values if value is not None]
        if self.floating:
            values = list(map(Fraction, values))
        squares = sum(map(mul, values, values)) if self.with_squares else 0
        return Moments(len(values), sum(values), squares)

    def combine(self, states: Sequence[Moments]) -> Moments:
        if not states:
            return _NO_MOMENTS
        counts, totals, squares = zip(*states, strict=True)
        return Moments(sum(counts), sum(totals), sum(squares))

    def finalize(self, state: Moments, feature: Feature) -> Value:
        n, total, squares = state
        if not self.floating and not INT64_MIN <= total <= INT64_MAX:
            checked_int64(int(total), feature.name)
        if feature.kind is Kind.MEAN:
            return to_double(total) / n if n else feature.default
        if feature.kind is Kind.SUM:
            return to_double(total) if feature.type is ColumnType.FLOAT64 else int(total)
        if n < 2:  # noqa: PLR2004 - the sample variance of one value is undefined
            return feature.default
        variance = to_double(n * squares - total * total) / to_double(n * (n - 1))
        return math.sqrt(variance) if feature.kind is Kind.STDDEV else variance

    def encode(self, state: Moments) -> Any:
        return [state.n, _encode_exact(state.total), _encode_exact(state.squares)]

    def decode(self, data: Any) -> Moments:
        n, total, squares = data
        return Moments(n, _decode_exact(total), _decode_exact(squares))

    def encode_all(self, states: Sequence[Moments]) -> Any:
        encoded = [self.encode(state) for state in states]
        kept = 3 if self.with_squares else 2
        return [pack_column([numbers[at] for numbers in encoded]) for at in range(kept)]

    def spread(self, data: Any) -> Sequence[Numbers]:
        return list(map(unpack_column, data))

    def gathered(self, columns: Sequence[Numbers]) -> Any:
        return list(map(pack_column, columns))

    def opened(self, data: Any) -> list[Numbers]:
        return [
            unpack_column(one) if isinstance(one, bytes) else list(map(_decode_exact, one))
            for one in data
        ]

    def range(self, states: list[Numbers], start: int, stop: int) -> Moments:
        n, total, *squares = [sum(one[start:stop]) for one in states]
        return Moments(n, total, squares[0] if squares else 0)


def is_sum(partial: Partial[Any]) -> TypeGuard[IntegerSums]:
    """Whether a partial is sums of integers."""
    return isinstance(partial, CountPartial) or (
        isinstance(partial, MomentsPartial) and not partial.floating
    )


def _encode_exact(value: Fraction | int) -> Any:
    """An integer, or the numerator and the exponent of a binary fraction.

    Integers of more than 64 bits, which msgpack doesn't have, are bytes.
    """
    exponent = value.denominator.bit_length() - 1
    number: Any = value.numerator
    if not INT64_MIN <= number <= INT64_MAX:
        # The least bytes in two's complement, as Java writes them.
        size = (number if number >= 0 else ~number).bit_length() // 8 + 1
        number = number.to_bytes(size, "big", signed=True)
    return [number, exponent] if exponent else number


def _decode_exact(data: Any) -> Fraction | int:
    if isinstance(data, list):
        return Fraction(_decode_exact(data[0]), 1 << data[1])
    return int.from_bytes(data, "big", signed=True) if isinstance(data, bytes) else int(data)
