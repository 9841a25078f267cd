"""Partials that keep values or rows: extremes, first and last rows, distinct values, sketches."""

# ruff: noqa: D102 - the protocol says what the methods of every partial do

from __future__ import annotations

import math
from bisect import bisect_left
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any, NamedTuple

from headrace_features.definitions.aggregates import Scalar
from headrace_features.definitions.views import Feature
from headrace_features.partials.blocks import EventBlock
from headrace_features.partials.partial import PlainEncoding, Value
from headrace_features.sketches.quantiles import bucket_middle, bucket_of, rank_of
from headrace_features.sketches.theta import MAX_THETA, K, hash_of


@dataclass(frozen=True, slots=True)
class ExtremePartial(PlainEncoding):
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
class EdgePartial(PlainEncoding):
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
class DistinctPartial(PlainEncoding):
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
class ThetaPartial(PlainEncoding):
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
class HistogramPartial(PlainEncoding):
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
