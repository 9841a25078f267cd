"""In which order the rows of a split come: a pure function of shards, seed, epoch and position.

The shards are permuted, and the rows within blocks of what follows. So a position needs one block,
whatever was read before, and a block few shards. It is drawn from Philox, a counter-based generator
(Salmon et al., Parallel random numbers: as easy as 1, 2, 3, SC 2011), whose stream numpy keeps.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any, NamedTuple, TypeAlias

import numpy as np

Ints: TypeAlias = np.ndarray[Any, np.dtype[np.int64]]
Numbers: TypeAlias = np.ndarray[Any, np.dtype[np.uint32]]
#: Rows that are permuted with each other.
BLOCK_ROWS = 1 << 17
#: What is permuted: streams of the generator that have nothing to do with each other.
SHARDS, ROWS, MIXED = range(3)


class Piece(NamedTuple):
    """Rows of one shard within some rows of an order.

    Attributes:
        shard: its place in the split.
        rows: their places in the shard.
        at: where among the rows each comes; None where these are all, one after the other.
    """

    shard: int
    rows: Ints
    at: Ints | None


class Use(NamedTuple):
    """How long a shard is needed.

    Attributes:
        shard: its place in the split.
        begin, end: the positions between which its rows come, the second excluded.
    """

    shard: int
    begin: int
    end: int


@dataclass(frozen=True)
class Order:
    """The order of an epoch.

    Attributes:
        shard_rows: how many rows each shard has.
        seed: a number from 0 of at most 64 bits.
        epoch: from 0.
        block_rows: how many rows are permuted with each other; 0 leaves all as they are.
    """

    shard_rows: tuple[int, ...]
    seed: int
    epoch: int
    block_rows: int = BLOCK_ROWS

    @cached_property
    def rows(self) -> int:
        """Of an epoch."""
        return sum(self.shard_rows)

    @cached_property
    def shards(self) -> Ints:
        """The shards in the order in which they are needed."""
        count = len(self.shard_rows)
        if not self.block_rows:
            return np.arange(count, dtype=np.int64)
        return permutation(count, self.seed, SHARDS, self.epoch, 0).astype(np.int64)

    def pieces(self, start: int, stop: int) -> list[Piece]:
        """The rows from one position to another, the second excluded, shard by shard."""
        places = self._places(start, stop)
        if not len(places):
            return []
        ends = np.array([places.min(), places.max()])
        first, last = (int(one) for one in np.searchsorted(self._begins, ends, side="right") - 1)
        if first == last:
            return [Piece(int(self.shards[first]), places - self._begins[first], None)]
        found = []
        for slot in range(first, last + 1):
            begin, end = self._begins[slot], self._begins[slot + 1]
            at = np.flatnonzero((places >= begin) & (places < end))
            if len(at):
                found.append(Piece(int(self.shards[slot]), places[at] - begin, at))
        return found

    def uses(self, start: int) -> Iterator[Use]:
        """The shards that are needed from a position on, in the order in which they first are."""
        block = max(self.block_rows, 1)
        first = np.searchsorted(self._begins, start // block * block, side="right") - 1
        for slot in range(int(first), len(self.shards)):
            begin, end = (int(one) for one in self._begins[slot : slot + 2])
            if begin < end:
                # Rows of a block come anywhere in it.
                until = min(-(-end // block) * block, self.rows)
                yield Use(int(self.shards[slot]), begin // block * block, until)

    @cached_property
    def _begins(self) -> Ints:
        """Where each shard begins when they are put together in their order, and the end."""
        sizes = np.array(self.shard_rows, np.int64)[self.shards]
        return np.concatenate([np.zeros(1, np.int64), np.cumsum(sizes)])

    def _places(self, start: int, stop: int) -> Ints:
        """Where the rows from one position to another are among the shards put together."""
        if not self.block_rows:
            return np.arange(start, stop, dtype=np.int64)
        found = []
        while start < stop:
            number = start // self.block_rows
            begin = number * self.block_rows
            end = min(begin + self.block_rows, self.rows)
            within = permutation(end - begin, self.seed, ROWS, self.epoch, number)
            until = min(stop, end)
            found.append(begin + within[start - begin : until - begin].astype(np.int64))
            start = until
        return found[0] if len(found) == 1 else np.concatenate([np.empty(0, np.int64), *found])


@lru_cache(maxsize=4)
def permutation(count: int, seed: int, stream: int, epoch: int, number: int) -> Numbers:
    """The numbers below one in an order that looks random, the same for the same arguments.

    Each gets random bits above its own, and they are sorted. It can't be written to.

    Args:
        count: at most 2**31.
        seed: a number from 0 of at most 64 bits.
        stream: what is permuted.
        epoch, number: which permutation of these.
    """
    # As a list, numbers of 64 bits would be rounded to doubles.
    key, counter = (np.array(words, np.uint64) for words in ([seed, stream], [0, 0, number, epoch]))
    generator = np.random.Philox(key=key, counter=counter)
    low = np.uint64((1 << max(count - 1, 0).bit_length()) - 1)
    keys = generator.random_raw(count)
    keys &= ~low
    keys |= np.arange(count, dtype=np.uint64)
    keys.sort()
    keys &= low
    # Half the memory: what is kept is all that an order takes.
    found = keys.astype(np.uint32)
    found.flags.writeable = False
    return found
