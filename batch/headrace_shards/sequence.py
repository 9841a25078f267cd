"""The rows of an epoch, of one split or of several mixed by weights, by their positions."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property, lru_cache
from heapq import merge
from itertools import count, takewhile
from typing import Any, NamedTuple, Protocol

import numpy as np

from headrace_schemas.errors import ConfigurationError
from headrace_shards.order import BLOCK_ROWS, MIXED, Ints, Order, Piece, Use, permutation

#: Seeds are below it.
_WORD = 2**64


class Wanted(NamedTuple):
    """Rows of one shard of one split, and where among the rows asked for each comes.

    Attributes:
        split: its place among the splits that are mixed.
        piece: the rows; its `at` is None where these are all that was asked for.
    """

    split: int
    piece: Piece


class Needed(NamedTuple):
    """A shard of one split, and how long it is needed.

    Attributes:
        split: its place among the splits that are mixed.
        use: the shard, and positions of the epoch.
    """

    split: int
    use: Use


class RowSequence(Protocol):
    """What an epoch has, position by position."""

    @property
    def rows(self) -> int:
        """Of an epoch."""

    def wanted(self, epoch: int, start: int, stop: int) -> list[Wanted]:
        """The rows from one position to another, the second excluded."""

    def needed(self, epoch: int, start: int) -> Iterator[Needed]:
        """The shards from a position on to the end, in the order in which they are needed first.

        A shard may come again, for other positions.
        """

    def described(self) -> dict[str, Any]:
        """All that decides which rows come where, but for the files themselves."""


@dataclass(frozen=True)
class Split:
    """The rows of one split.

    Attributes:
        shard_rows: how many rows each shard has.
        seed: of the order.
        block_rows: see `Order`.
    """

    shard_rows: tuple[int, ...]
    seed: int = 0
    block_rows: int = BLOCK_ROWS

    def __post_init__(self) -> None:
        """Check the numbers."""
        if not 0 <= self.seed < _WORD:
            raise ConfigurationError(f"the seed {self.seed}, expected a number from 0 of 64 bits")
        if self.block_rows < 0:
            raise ConfigurationError(
                f"blocks of {self.block_rows} rows, expected some, or 0 to permute none"
            )

    @cached_property
    def rows(self) -> int:
        """Of an epoch."""
        return sum(self.shard_rows)

    def wanted(self, epoch: int, start: int, stop: int) -> list[Wanted]:
        """The rows from one position to another, the second excluded."""
        return [Wanted(0, piece) for piece in self._order(epoch).pieces(start, stop)]

    def needed(self, epoch: int, start: int) -> Iterator[Needed]:
        """The shards from a position on to the end, in the order in which they are needed first."""
        return (Needed(0, use) for use in self._order(epoch).uses(start))

    def described(self) -> dict[str, Any]:
        """The seed and the size of blocks."""
        return {"seed": self.seed, "block_rows": self.block_rows}

    def _order(self, epoch: int) -> Order:
        return _order(self.shard_rows, self.seed, epoch, self.block_rows)


@dataclass(frozen=True)
class Mixture:
    """Rows of several splits in given shares.

    After n steps a split with the weight w has given floor(n size w) rows, the one with the highest
    weight the others. The rows of a step come in an order of its own. Each split goes through its
    own epochs, however often the mixture needs it.

    Attributes:
        splits: each with its own order.
        weights: their shares, which sum to 1.
        size: rows of a step, which is what a global batch has.
        rows: of an epoch of the mixture.
        seed: of the order within a step.
    """

    splits: tuple[Split, ...]
    weights: tuple[float, ...]
    size: int
    rows: int
    seed: int = 0

    def __post_init__(self) -> None:
        """Check the weights, and that each step can have its share of each split."""
        if len(self.splits) != len(self.weights) or not self.splits:
            raise ConfigurationError(
                f"{len(self.weights)} weights for {len(self.splits)} sets, expected one each"
            )
        if min(self.weights) <= 0 or not math.isclose(sum(self.weights), 1.0):
            raise ConfigurationError(
                f"the weights {self.weights} are no shares",
                hint="give shares above 0 that sum to 1",
            )
        if self.size * max(self.weights) < len(self.splits):
            raise ConfigurationError(
                f"a batch of {self.size} rows is too small for {len(self.splits)} sets"
            )
        if self.rows < 1:
            raise ConfigurationError(f"an epoch of {self.rows} rows, expected at least one")

    def wanted(self, epoch: int, start: int, stop: int) -> list[Wanted]:
        """The rows from one position to another, the second excluded."""
        found: list[Wanted] = []
        for at, step, begin, end in self._steps(epoch, start, stop):
            found += self._of_step(step, begin, end, at)
        return found

    def needed(self, epoch: int, start: int) -> Iterator[Needed]:
        """The shards from a position on to the end, in the order in which they are needed first."""
        return merge(
            *(self._needed_of(place, epoch, start) for place in range(len(self.splits))),
            key=lambda one: one.use.begin,
        )

    def described(self) -> dict[str, Any]:
        """The shares and all orders."""
        return {
            "seed": self.seed,
            "weights": list(self.weights),
            "size": self.size,
            "rows": self.rows,
            "splits": [split.described() for split in self.splits],
        }

    @cached_property
    def _steps_of_epoch(self) -> int:
        return -(-self.rows // self.size)

    def _steps(self, epoch: int, start: int, stop: int) -> list[tuple[int, int, int, int]]:
        """The steps of some positions: where each comes, its number, and which of its rows."""
        found = []
        position = start
        while position < stop:
            number, begin = divmod(position, self.size)
            end = min(begin + stop - position, self.size)
            found.append((position - start, epoch * self._steps_of_epoch + number, begin, end))
            position += end - begin
        return found

    def _of_step(self, step: int, begin: int, end: int, at: int) -> list[Wanted]:
        """Some of the rows of a step, the first of which comes at a place."""
        order = permutation(self.size, self.seed, MIXED, step, 0)[begin:end].astype(np.int64)
        found = []
        before = 0
        for place, (first, last) in enumerate(self._given(step)):
            within = np.flatnonzero((order >= before) & (order < before + last - first))
            numbers = first + order[within] - before
            for its, low, high in _epochs(self.splits[place].rows, first, last):
                base = its * self.splits[place].rows
                chosen = (numbers >= base + low) & (numbers < base + high)
                for _, piece in self.splits[place].wanted(its, low, high):
                    found += _chosen(
                        place, piece, numbers[chosen] - base - low, within[chosen] + at
                    )
            before += last - first
        return found

    def _needed_of(self, place: int, epoch: int, start: int) -> Iterator[Needed]:
        """The shards of one split from a position of an epoch on."""
        first = epoch * self._steps_of_epoch
        rows = self.splits[place].rows
        its, low = divmod(self._before(first + start // self.size)[place], rows)
        uses = (
            Use(
                use.shard,
                (self._step_of(place, number * rows + use.begin) - first) * self.size,
                (self._step_of(place, number * rows + use.end - 1) + 1 - first) * self.size,
            )
            for number in count(its)
            for _, use in self.splits[place].needed(number, low if number == its else 0)
        )
        return (Needed(place, use) for use in takewhile(lambda use: use.begin < self.rows, uses))

    def _step_of(self, place: int, row: int) -> int:
        """The step that has a row of a split, counted over all epochs."""
        # Of rounding the split of the highest weight may lack a row for each other one.
        most = (row + len(self.splits)) / (self.size * self.weights[place])
        steps = range(math.ceil(most) + 2)
        return bisect_right(steps, row, key=lambda step: self._before(step)[place]) - 1

    def _given(self, step: int) -> list[tuple[int, int]]:
        """Which rows of each split a step has, counted over all epochs."""
        begins, ends = self._before(step), self._before(step + 1)
        return list(zip(begins, ends, strict=True))

    def _before(self, step: int) -> list[int]:
        """How many rows of each split come before a step."""
        given = [math.floor(step * self.size * weight) for weight in self.weights]
        most = self.weights.index(max(self.weights))
        given[most] = step * self.size - sum(given) + given[most]
        return given


def _epochs(rows: int, first: int, last: int) -> list[tuple[int, int, int]]:
    """Positions counted over all epochs: the epochs, and which positions of each."""
    found = []
    while first < last:
        epoch, begin = divmod(first, rows)
        end = min(begin + last - first, rows)
        found.append((epoch, begin, end))
        first += end - begin
    return found


def _chosen(place: int, piece: Piece, positions: Ints, at: Ints) -> list[Wanted]:
    """Of a piece the rows at some positions of it, and where they come."""
    if piece.at is None:
        return [Wanted(place, Piece(piece.shard, piece.rows[positions], at))]
    slots = np.searchsorted(piece.at, positions)
    is_there = slots < len(piece.at)
    is_there[is_there] = piece.at[slots[is_there]] == positions[is_there]
    if not is_there.any():
        return []
    return [Wanted(place, Piece(piece.shard, piece.rows[slots[is_there]], at[is_there]))]


@lru_cache(maxsize=16)
def _order(shard_rows: tuple[int, ...], seed: int, epoch: int, block_rows: int) -> Order:
    return Order(shard_rows, seed, epoch, block_rows)
