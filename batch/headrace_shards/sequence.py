"""The rows of an epoch, of one split or of several mixed by weights, by their positions."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
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

    A step has what a global batch has, the last one of an epoch perhaps less. After n rows that
    were handed out, over all epochs, the first split has given floor(n w) of them, w being its
    weight; the next ones their shares of those that are left, in the same way, and the last one the
    others. The rows of a step come in an order of its own. Each split goes through its own epochs,
    however often the mixture needs it.

    Attributes:
        splits: each with its own order.
        weights: their shares, which sum to 1.
        size: rows of a step.
        rows: of an epoch of the mixture that are handed out: of what isn't the splits keep theirs
            for the next one.
        seed: of the order within a step.
    """

    splits: tuple[Split, ...]
    weights: tuple[float, ...]
    size: int
    rows: int
    seed: int = 0

    def __post_init__(self) -> None:
        """Check the weights, and that each split has rows."""
        if len(self.splits) != len(self.weights) or not self.splits:
            raise ConfigurationError(
                f"{len(self.weights)} weights for {len(self.splits)} sets, expected one each"
            )
        if min(self.weights) <= 0 or not math.isclose(sum(self.weights), 1.0):
            raise ConfigurationError(
                f"the weights {self.weights} are no shares",
                hint="give shares above 0 that sum to 1",
            )
        if not all(split.rows for split in self.splits):
            raise ConfigurationError(
                f"the sets that are mixed have {', '.join(str(one.rows) for one in self.splits)}"
                " rows, expected some of each",
                hint="leave out those that have none",
            )

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
    def _shares(self) -> list[tuple[int, int]]:
        """Of what the splits before it leave, the share of each: a fraction, as it was written."""
        parts = [Fraction(str(weight)) for weight in self.weights]
        return [(part / sum(parts[place:])).as_integer_ratio() for place, part in enumerate(parts)]

    def _steps(self, epoch: int, start: int, stop: int) -> list[tuple[int, _Step, int, int]]:
        """The steps of some positions: where each comes, which it is, and which of its rows."""
        found = []
        position = start
        while position < stop:
            step = self._step(epoch, position)
            begin = epoch * self.rows + position - step.first
            end = min(begin + stop - position, step.rows)
            found.append((position - start, step, begin, end))
            position += end - begin
        return found

    def _step(self, epoch: int, position: int) -> _Step:
        """The one that has a position of an epoch."""
        number = position // self.size
        of_epoch = -(-self.rows // self.size)
        return _Step(
            epoch * of_epoch + number,
            epoch * self.rows + number * self.size,
            min(self.size, self.rows - number * self.size),
        )

    def _of_step(self, step: _Step, begin: int, end: int, at: int) -> list[Wanted]:
        """Some of the rows of a step, the first of which comes at a place."""
        order = permutation(step.rows, self.seed, MIXED, step.number, 0)[begin:end].astype(np.int64)
        found = []
        before = 0
        given = zip(self._before(step.first), self._before(step.first + step.rows), strict=True)
        for place, (first, last) in enumerate(given):
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
        first = epoch * self.rows
        rows = self.splits[place].rows
        its, low = divmod(self._before(self._step(epoch, start).first)[place], rows)
        uses = (
            Use(
                use.shard,
                self._step_with(place, number * rows + use.begin).first - first,
                self._step_with(place, number * rows + use.end - 1).end - first,
            )
            for number in count(its)
            for _, use in self.splits[place].needed(number, low if number == its else 0)
        )
        return (Needed(place, use) for use in takewhile(lambda use: use.begin < self.rows, uses))

    def _step_with(self, place: int, row: int) -> _Step:
        """The step that has a row of a split, counted over all epochs."""
        # Of its share a split lacks less than a row.
        most = math.ceil((row + 2) / self.weights[place]) + 2
        handed = bisect_right(range(most), row, key=lambda rows: self._before(rows)[place]) - 1
        return self._step(*divmod(handed, self.rows))

    def _before(self, handed: int) -> list[int]:
        """How many of the rows that were handed out, over all epochs, are of each split."""
        given = []
        for share, whole in self._shares:
            given.append(handed * share // whole)
            handed -= given[-1]
        return given


class _Step(NamedTuple):
    """What the order of rows goes by: its number, its first row, and how many it has.

    Both count over all epochs.
    """

    number: int
    first: int
    rows: int

    @property
    def end(self) -> int:
        """The first row of the next one."""
        return self.first + self.rows


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
