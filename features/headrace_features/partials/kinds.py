"""Every partial: how it takes in events, merges and becomes a value.

A partial's state is plain immutable data. `combine` is associative and commutative for every kind,
so any division of the same events gives the same value; floating sums are kept as exact
fractions for that.
"""

# ruff: noqa: D102 - the protocol says what the methods of every partial do

from __future__ import annotations

import math
from bisect import bisect_left
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import accumulate, repeat
from operator import mul
from typing import Any, NamedTuple, Protocol, TypeGuard, TypeVar

from headrace_features.definitions.aggregates import Kind, Scalar
from headrace_features.definitions.views import Feature
from headrace_features.numbers import checked_int64, to_double
from headrace_features.partials.blocks import EventBlock
from headrace_features.partials.packed import Numbers, pack_column, unpack_column
from headrace_features.sketches.quantiles import bucket_middle, bucket_of, rank_of
from headrace_features.sketches.theta import MAX_THETA, K, hash_of
from headrace_schemas.columns import INT64_MAX, INT64_MIN, ColumnType

Value = Scalar | None
State = TypeVar("State")


class Partial(Protocol[State]):
    """One kind of partial over chosen columns of events."""

    @property
    def empty(self) -> State:
        """The state of no events."""

    def fold(self, block: EventBlock, start: int, stop: int) -> State:
        """The state of the events at the places from `start` to before `stop`."""

    def combine(self, states: Sequence[State]) -> State:
        """The state of disjoint sets of events together."""

    def finalize(self, state: State, feature: Feature) -> Value:
        """The value of a feature."""

    def encode(self, state: State) -> Any:
        """The state as msgpack-compatible data."""

    def decode(self, data: Any) -> State:
        """The state of encoded data."""

    def encode_all(self, states: Sequence[State]) -> Any:
        """Several states as msgpack-compatible data."""

    def opened(self, data: Any) -> Any:
        """Several encoded states as they are read in ranges."""

    def range(self, states: Any, start: int, stop: int) -> State:
        """Those of several opened states at the places from `start` to before `stop`, combined."""


class Part(NamedTuple):
    """A number of each event of which a partial keeps the sum.

    Attributes:
        position: of the column whose value it is, to a power; null counts for nothing. None is one
            for each event.
        power: 0, 1 or 2.
    """

    position: int | None
    power: int


class IntegerSums(Partial[Any], Protocol):
    """A partial that is sums of integers, so that those of many entities are made at once.

    Attributes:
        parts: what is summed.
    """

    @property
    def parts(self) -> tuple[Part, ...]: ...

    def encoded_parts(self, data: Any) -> Sequence[Any]:
        """For each part the numbers of several encoded states."""

    def of_sums(self, sums: Sequence[list[int]]) -> Sequence[Any]:
        """States: those with the first sum of each part, with the second of each, and so on."""


def is_sum(partial: Partial[Any]) -> TypeGuard[IntegerSums]:
    """Whether a partial is sums of integers."""
    return isinstance(partial, CountPartial) or (
        isinstance(partial, MomentsPartial) and not partial.floating
    )


class _Plain:
    """Encoding of states that are msgpack-compatible as they are."""

    def encode(self, state: Any) -> Any:
        return state

    def decode(self, data: Any) -> Any:
        return data

    def encode_all(self, states: Sequence[Any]) -> Any:
        return [self.encode(state) for state in states]

    def opened(self, data: Any) -> Any:
        return data

    def range(self, states: Any, start: int, stop: int) -> Any:
        return self.combine([self.decode(one) for one in states[start:stop]])

    def combine(self, states: Sequence[Any]) -> Any:
        raise NotImplementedError


@dataclass(frozen=True, slots=True)
class CountPartial(_Plain):
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
class MomentsPartial(_Plain):
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

    def opened(self, data: Any) -> list[Numbers]:
        return [
            unpack_column(one) if isinstance(one, bytes) else list(map(_decode_exact, one))
            for one in data
        ]

    def range(self, states: list[Numbers], start: int, stop: int) -> Moments:
        n, total, *squares = [sum(one[start:stop]) for one in states]
        return Moments(n, total, squares[0] if squares else 0)


@dataclass(frozen=True, slots=True)
class ExtremePartial(_Plain):
    """The least or greatest value of one column."""

    position: int
    greatest: bool
    floating: bool
    empty: Value = None

    def fold(self, block: EventBlock, start: int, stop: int) -> Value:
        return self.combine(block.columns[self.position][start:stop])

    def combine(self, states: Sequence[Value]) -> Value:
        found: list[Any] = [state for state in states if state is not None]
        if not found:
            return None
        # -0.0 is below 0.0, so that the least and greatest value have one bit pattern.
        key = _signed if self.floating else None
        least: Value = (max if self.greatest else min)(found, key=key)
        return least

    def range(self, states: Any, start: int, stop: int) -> Value:
        return self.combine(states[start:stop])

    def finalize(self, state: Value, feature: Feature) -> Value:
        return feature.default if state is None else state


def _signed(value: Any) -> tuple[float, float]:
    return value, math.copysign(1.0, value)


class Chosen(NamedTuple):
    """The first or last row so far: its place in the order, and its values."""

    time_ms: int
    dedup: bytes
    values: tuple[Value, ...]


@dataclass(frozen=True, slots=True)
class EdgePartial(_Plain):
    """The row with the least or greatest (event time, dedup key bytes)."""

    positions: Mapping[str, int]
    last: bool
    empty: Chosen | None = None

    def fold(self, block: EventBlock, start: int, stop: int) -> Chosen | None:
        if start >= stop:
            return None
        place = stop - 1 if self.last else start
        values = tuple(block.columns[position][place] for position in self.positions.values())
        time_ms = block.base_ms + block.offsets_ms[place]
        return Chosen(time_ms, block.dedups[place], values)

    def combine(self, states: Sequence[Chosen | None]) -> Chosen | None:
        found = [state for state in states if state is not None]
        # No two events have the same time and dedup key: values are never compared.
        return (max if self.last else min)(found) if found else None

    def finalize(self, state: Chosen | None, feature: Feature) -> Value:
        if state is None:
            return feature.default
        return state.values[list(self.positions).index(str(feature.column))]

    def decode(self, data: Any) -> Chosen | None:
        return None if data is None else Chosen(data[0], data[1], tuple(data[2]))


@dataclass(frozen=True, slots=True)
class DistinctPartial(_Plain):
    """The set of values of one column."""

    position: int
    empty: frozenset[Scalar] = frozenset()

    def fold(self, block: EventBlock, start: int, stop: int) -> frozenset[Scalar]:
        return frozenset(block.columns[self.position][start:stop]) - _NULL

    def combine(self, states: Sequence[frozenset[Scalar]]) -> frozenset[Scalar]:
        return self.empty.union(*states)

    def finalize(self, state: frozenset[Scalar], feature: Feature) -> Value:
        del feature
        return len(state)

    def encode(self, state: frozenset[Scalar]) -> Any:
        return sorted(state)

    def decode(self, data: Any) -> frozenset[Scalar]:
        return frozenset(data)


_NULL = frozenset([None])


class Sketch(NamedTuple):
    """The hashes below theta of a set of values: all of them, or the K smallest."""

    theta: int
    hashes: frozenset[int]


_NO_HASHES = Sketch(MAX_THETA, frozenset())


@dataclass(frozen=True, slots=True)
class ThetaPartial(_Plain):
    """The Theta sketch of one column."""

    position: int
    empty: Sketch = _NO_HASHES

    def fold(self, block: EventBlock, start: int, stop: int) -> Sketch:
        values = set(block.columns[self.position][start:stop]) - _NULL
        hashes = (hash_of(value if isinstance(value, str) else int(value)) for value in values)
        return _least_hashes(
            MAX_THETA, frozenset(hashed for hashed in hashes if hashed < MAX_THETA)
        )

    def combine(self, states: Sequence[Sketch]) -> Sketch:
        theta = min((state.theta for state in states), default=MAX_THETA)
        hashes = frozenset().union(*(state.hashes for state in states))
        return _least_hashes(theta, frozenset(h for h in hashes if h < theta))

    def finalize(self, state: Sketch, feature: Feature) -> Value:
        del feature
        if state.theta == MAX_THETA:
            return float(len(state.hashes))
        return len(state.hashes) / (state.theta / MAX_THETA)

    def encode(self, state: Sketch) -> Any:
        return [state.theta, sorted(state.hashes)]

    def decode(self, data: Any) -> Sketch:
        return Sketch(data[0], frozenset(data[1]))


def _least_hashes(theta: int, hashes: frozenset[int]) -> Sketch:
    if len(hashes) <= K:
        return Sketch(theta, hashes)
    ordered = sorted(hashes)
    return Sketch(ordered[K], frozenset(ordered[:K]))


Buckets = tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True)
class HistogramPartial(_Plain):
    """The log-linear histogram of an integer column: sorted (bucket, count) pairs."""

    position: int
    empty: Buckets = ()

    def fold(self, block: EventBlock, start: int, stop: int) -> Buckets:
        values = block.columns[self.position][start:stop]
        counts = Counter(bucket_of(int(value)) for value in values if value is not None)
        return tuple(sorted(counts.items()))

    def combine(self, states: Sequence[Buckets]) -> Buckets:
        counts: Counter[int] = Counter()
        for state in states:
            counts.update(dict(state))
        return tuple(sorted(counts.items()))

    def finalize(self, state: Buckets, feature: Feature) -> Value:
        if not state or feature.q is None:
            return feature.default
        up_to = list(accumulate(count for _, count in state))
        place = bisect_left(up_to, rank_of(feature.q, up_to[-1]))
        return bucket_middle(state[place][0])

    def decode(self, data: Any) -> Buckets:
        return tuple((bucket, count) for bucket, count in data)


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
