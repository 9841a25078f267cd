"""Every partial: how it takes in an event, merges and becomes a value.

A partial's state is plain immutable data. `merge` is associative and commutative for every kind,
so any division of the same events gives the same value; floating sums are kept as exact
fractions for that.
"""

# ruff: noqa: D102 - the protocol says what the methods of every partial do

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import accumulate
from typing import Any, NamedTuple, Protocol, TypeVar

from headrace_features.definitions.aggregates import Kind, Scalar
from headrace_features.definitions.views import Feature
from headrace_features.numbers import checked_int64, to_double
from headrace_features.sketches.quantiles import bucket_middle, bucket_of, rank_of
from headrace_features.sketches.theta import MAX_THETA, K, hash_of
from headrace_schemas.columns import ColumnType

Value = Scalar | None
State = TypeVar("State")


class Event(NamedTuple):
    """An event as partials see it.

    Attributes:
        time_ms: event time, ms UTC.
        dedup: bytes of the dedup key.
        available_ms: when it could first be known, ms UTC.
        values: the columns that the view's partials read, in the order of the plan.
    """

    time_ms: int
    dedup: bytes
    available_ms: int
    values: tuple[Value, ...]


class Partial(Protocol[State]):
    """One kind of partial over chosen positions of an event's values."""

    @property
    def empty(self) -> State:
        """The state of no events."""

    def absorb(self, state: State, event: Event) -> State:
        """The state with one more event."""

    def merge(self, left: State, right: State) -> State:
        """The state of two disjoint sets of events together."""

    def finalize(self, state: State, feature: Feature) -> Value:
        """The value of a feature."""

    def encode(self, state: State) -> Any:
        """The state as msgpack-compatible data."""

    def decode(self, data: Any) -> State:
        """The state of encoded data."""


class _Plain:
    """Encoding of states that are msgpack-compatible as they are."""

    def encode(self, state: Any) -> Any:
        return state

    def decode(self, data: Any) -> Any:
        return data


@dataclass(frozen=True, slots=True)
class CountPartial(_Plain):
    """The number of events."""

    empty: int = 0

    def absorb(self, state: int, event: Event) -> int:
        del event
        return state + 1

    def merge(self, left: int, right: int) -> int:
        return left + right

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
class MomentsPartial:
    """Sum and mean of one column; variance and standard deviation where squares are kept."""

    position: int
    floating: bool
    with_squares: bool
    empty: Moments = _NO_MOMENTS

    def absorb(self, state: Moments, event: Event) -> Moments:
        value = event.values[self.position]
        if value is None or isinstance(value, str):
            return state
        number = Fraction(value) if self.floating else int(value)
        squares = state.squares + number * number if self.with_squares else 0
        return Moments(state.n + 1, state.total + number, squares)

    def merge(self, left: Moments, right: Moments) -> Moments:
        return Moments(left.n + right.n, left.total + right.total, left.squares + right.squares)

    def finalize(self, state: Moments, feature: Feature) -> Value:
        n, total, squares = state
        if not self.floating:
            checked_int64(int(total), feature.name)
        if feature.kind is Kind.SUM:
            return to_double(total) if feature.type is ColumnType.FLOAT64 else int(total)
        if feature.kind is Kind.MEAN:
            return to_double(total) / n if n else feature.default
        if n < 2:  # noqa: PLR2004 - the sample variance of one value is undefined
            return feature.default
        variance = to_double(n * squares - total * total) / to_double(n * (n - 1))
        return math.sqrt(variance) if feature.kind is Kind.STDDEV else variance

    def encode(self, state: Moments) -> Any:
        return [state.n, _encode_exact(state.total), _encode_exact(state.squares)]

    def decode(self, data: Any) -> Moments:
        n, total, squares = data
        return Moments(n, _decode_exact(total), _decode_exact(squares))


@dataclass(frozen=True, slots=True)
class ExtremePartial(_Plain):
    """The least or greatest value of one column."""

    position: int
    greatest: bool
    empty: Value = None

    def absorb(self, state: Value, event: Event) -> Value:
        return self.merge(state, event.values[self.position])

    def merge(self, left: Value, right: Value) -> Value:
        if left is None or right is None:
            return right if left is None else left
        return (max if self.greatest else min)(left, right, key=_signed)

    def finalize(self, state: Value, feature: Feature) -> Value:
        return feature.default if state is None else state


def _signed(value: Any) -> tuple[float, float]:
    # -0.0 is below 0.0, so that the least and greatest value have one bit pattern.
    return value, math.copysign(1.0, value)


class Chosen(NamedTuple):
    """The first or last row so far: its place in the order, and its values."""

    time_ms: int
    dedup: bytes
    values: tuple[Value, ...]


@dataclass(frozen=True, slots=True)
class EdgePartial:
    """The row with the least or greatest (event time, dedup key bytes)."""

    positions: Mapping[str, int]
    last: bool
    empty: Chosen | None = None

    def absorb(self, state: Chosen | None, event: Event) -> Chosen | None:
        values = tuple(event.values[position] for position in self.positions.values())
        return self.merge(state, Chosen(event.time_ms, event.dedup, values))

    def merge(self, left: Chosen | None, right: Chosen | None) -> Chosen | None:
        if left is None or right is None:
            return right if left is None else left
        return left if (left[:2] > right[:2]) == self.last else right

    def finalize(self, state: Chosen | None, feature: Feature) -> Value:
        if state is None:
            return feature.default
        return state.values[list(self.positions).index(str(feature.column))]

    def encode(self, state: Chosen | None) -> Any:
        return state

    def decode(self, data: Any) -> Chosen | None:
        return None if data is None else Chosen(data[0], data[1], tuple(data[2]))


@dataclass(frozen=True, slots=True)
class DistinctPartial:
    """The set of values of one column."""

    position: int
    empty: frozenset[Scalar] = frozenset()

    def absorb(self, state: frozenset[Scalar], event: Event) -> frozenset[Scalar]:
        value = event.values[self.position]
        return state if value is None else state | {value}

    def merge(self, left: frozenset[Scalar], right: frozenset[Scalar]) -> frozenset[Scalar]:
        return left | right

    def finalize(self, state: frozenset[Scalar], feature: Feature) -> Value:
        del feature
        return len(state)

    def encode(self, state: frozenset[Scalar]) -> Any:
        return sorted(state)

    def decode(self, data: Any) -> frozenset[Scalar]:
        return frozenset(data)


class Sketch(NamedTuple):
    """The hashes below theta of a set of values: all of them, or the K smallest."""

    theta: int
    hashes: frozenset[int]


_NO_HASHES = Sketch(MAX_THETA, frozenset())


@dataclass(frozen=True, slots=True)
class ThetaPartial:
    """The Theta sketch of one column."""

    position: int
    empty: Sketch = _NO_HASHES

    def absorb(self, state: Sketch, event: Event) -> Sketch:
        value = event.values[self.position]
        if value is None:
            return state
        hashed = hash_of(value if isinstance(value, str) else int(value))
        if hashed >= state.theta or hashed in state.hashes:
            return state
        return self._trimmed(state.theta, state.hashes | {hashed})

    def merge(self, left: Sketch, right: Sketch) -> Sketch:
        theta = min(left.theta, right.theta)
        hashes = frozenset(h for h in left.hashes | right.hashes if h < theta)
        return self._trimmed(theta, hashes)

    def finalize(self, state: Sketch, feature: Feature) -> Value:
        del feature
        if state.theta == MAX_THETA:
            return float(len(state.hashes))
        return len(state.hashes) / (state.theta / MAX_THETA)

    def encode(self, state: Sketch) -> Any:
        return [state.theta, sorted(state.hashes)]

    def decode(self, data: Any) -> Sketch:
        return Sketch(data[0], frozenset(data[1]))

    @staticmethod
    def _trimmed(theta: int, hashes: frozenset[int]) -> Sketch:
        if len(hashes) <= K:
            return Sketch(theta, hashes)
        ordered = sorted(hashes)
        return Sketch(ordered[K], frozenset(ordered[:K]))


@dataclass(frozen=True, slots=True)
class HistogramPartial:
    """The log-linear histogram of an integer column: sorted (bucket, count) pairs."""

    position: int
    empty: tuple[tuple[int, int], ...] = ()

    def absorb(
        self, state: tuple[tuple[int, int], ...], event: Event
    ) -> tuple[tuple[int, int], ...]:
        value = event.values[self.position]
        if value is None or isinstance(value, str):
            return state
        return self.merge(state, ((bucket_of(int(value)), 1),))

    def merge(
        self, left: tuple[tuple[int, int], ...], right: tuple[tuple[int, int], ...]
    ) -> tuple[tuple[int, int], ...]:
        counts = dict(left)
        for bucket, count in right:
            counts[bucket] = counts.get(bucket, 0) + count
        return tuple(sorted(counts.items()))

    def finalize(self, state: tuple[tuple[int, int], ...], feature: Feature) -> Value:
        if not state or feature.q is None:
            return feature.default
        up_to = list(accumulate(count for _, count in state))
        place = bisect_left(up_to, rank_of(feature.q, up_to[-1]))
        return bucket_middle(state[place][0])

    def encode(self, state: tuple[tuple[int, int], ...]) -> Any:
        return state

    def decode(self, data: Any) -> tuple[tuple[int, int], ...]:
        return tuple((bucket, count) for bucket, count in data)


def _encode_exact(value: Fraction | int) -> Any:
    """An integer or binary fraction; msgpack integers end at 64 bits."""
    exponent = value.denominator.bit_length() - 1
    numerator = value.numerator
    raw = numerator.to_bytes(numerator.bit_length() // 8 + 1, "big", signed=True)
    return [raw, exponent]


def _decode_exact(data: Sequence[Any]) -> Fraction | int:
    numerator = int.from_bytes(data[0], "big", signed=True)
    return Fraction(numerator, 1 << data[1]) if data[1] else numerator
