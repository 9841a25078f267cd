"""What every partial does: how it takes in events, merges and becomes a value.

A partial's state is plain immutable data. `combine` is associative and commutative for every kind,
so any division of the same events gives the same value.
"""

# ruff: noqa: D102 - the protocol says what the methods of every partial do

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol, TypeVar

from headrace_features.definitions.aggregates import Scalar
from headrace_features.definitions.views import Feature
from headrace_features.partials.blocks import EventBlock

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

    def spread(self, data: Any) -> Sequence[Sequence[Any]]:
        """Several encoded states by columns, each of which has a value of every state."""

    def gathered(self, columns: Sequence[Sequence[Any]]) -> Any:
        """Several encoded states of such columns."""

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


class PlainEncoding:
    """Encoding of states that are msgpack-compatible as they are."""

    def encode(self, state: Any) -> Any:
        return state

    def decode(self, data: Any) -> Any:
        return data

    def encode_all(self, states: Sequence[Any]) -> Any:
        return [self.encode(state) for state in states]

    def spread(self, data: Any) -> Sequence[Sequence[Any]]:
        return [data]

    def gathered(self, columns: Sequence[Sequence[Any]]) -> Any:
        return list(columns[0])

    def opened(self, data: Any) -> Any:
        return data

    def range(self, states: Any, start: int, stop: int) -> Any:
        return self.combine([self.decode(one) for one in states[start:stop]])

    def combine(self, states: Sequence[Any]) -> Any:
        raise NotImplementedError
