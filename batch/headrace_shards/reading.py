"""Rows are gathered from mapped shards into an array, in the order in which they are wanted."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from headrace_shards.errors import DamagedShardError
from headrace_shards.mds import Rows, open_rows

if TYPE_CHECKING:
    from headrace_shards.cache import ShardFiles
    from headrace_shards.layout import Layout
    from headrace_shards.manifest import Shard
    from headrace_shards.sequence import RowSequence

#: Shards that stay mapped.
_MAPPED = 64
#: How often a file is looked for that others who share the folder delete right before it is opened.
_ATTEMPTS = 8
#: How much is taken out of a shard at once.
_TAKEN_BYTES = 1 << 18


@dataclass(frozen=True)
class ReadableSplit:
    """The shards of a split of a set that is read.

    Attributes:
        shards: as the manifest has them.
        files: where they are.
    """

    shards: Sequence[Shard]
    files: ShardFiles

    @property
    def is_fetched(self) -> bool:
        """Whether shards come through a folder, and aren't mapped where the set is."""
        return any(self.files.is_fetched(shard) for shard in self.shards[:1])

    def prepare(self) -> None:
        """Have the folder that shards come through, so that no batch is the first to miss it.

        Raises:
            ConfigurationError: there is none, or it can't be used.
            RetryableError: the disk is full.
        """
        if self.is_fetched:
            self.files.provide()

    def rows(self, shard: int, layout: Layout) -> Rows:
        """The rows of a shard, mapped.

        Raises:
            DamagedShardError: it is not what the manifest says.
            RetryableError: a store can't be reached, or a disk is full.
        """
        found = self.shards[shard]
        name = found.path(self.files.split)
        for _ in range(_ATTEMPTS):
            with suppress(FileNotFoundError):
                return open_rows(self.files.path(found), name, layout, found.rows)
        raise DamagedShardError(name, "there is no such file")


@dataclass(frozen=True)
class Reader:
    """Reads rows of a sequence; by several threads at once.

    Attributes:
        layout: of a row, the same in all splits.
        sequence: what comes where.
        splits: what it is made of.
    """

    layout: Layout
    sequence: RowSequence
    splits: Sequence[ReadableSplit]
    _mapped: OrderedDict[tuple[int, int], Rows] = field(default_factory=OrderedDict)
    _locks: dict[tuple[int, int], threading.Lock] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def read(self, epoch: int, start: int, stop: int, out: Rows) -> None:
        """Gather the rows from one position to another; past the epoch it goes on with the first.

        Args:
            epoch: from 0.
            start, stop: positions, the second excluded.
            out: as many rows as that.

        Raises:
            DamagedShardError: a shard is not what the manifest says.
            RetryableError: a store can't be reached, or a disk is full.
        """
        done = 0
        while start + done < stop:
            begin = (start + done) % self.sequence.rows
            count = min(self.sequence.rows - begin, stop - start - done)
            self._gather(epoch, begin, begin + count, out[done : done + count])
            done += count

    def _gather(self, epoch: int, start: int, stop: int, out: Rows) -> None:
        step = max(_TAKEN_BYTES // out.itemsize, 1)
        for place, (shard, rows, at) in self.sequence.wanted(epoch, start, stop):
            found = self.mapped(place, shard)
            if at is None:
                # Positions are within the shard: to clip spares numpy a buffer for errors.
                np.take(found, rows, out=out, mode="clip")
            else:
                # Piece by piece: what numpy takes out on the way is no second batch.
                for begin in range(0, len(rows), step):
                    end = begin + step
                    out[at[begin:end]] = found[rows[begin:end]]

    def mapped(self, place: int, shard: int) -> Rows:
        """The rows of a shard, which is fetched if it has to be.

        Args:
            place: of its split.
            shard: its place in that.

        Raises:
            DamagedShardError: it is not what the manifest says.
            RetryableError: a store can't be reached, or a disk is full.
        """
        key = (place, shard)
        with self._lock:
            if key in self._mapped:
                self._mapped.move_to_end(key)
                return self._mapped[key]
            lock = self._locks.setdefault(key, threading.Lock())
        # Of two threads that need the same shard one fetches it.
        with lock:
            with self._lock:
                if key in self._mapped:
                    return self._mapped[key]
            rows = self.splits[place].rows(shard, self.layout)
            with self._lock:
                self._mapped[key] = rows
                while len(self._mapped) > _MAPPED:
                    self._mapped.popitem(last=False)
            return rows

    def forget(self, place: int, shard: int) -> None:
        """Have a shard that is not needed for now no longer mapped.

        What its folder no longer has takes room on the disk as long as it is.
        """
        with self._lock:
            self._mapped.pop((place, shard), None)
