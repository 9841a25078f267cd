"""Shards that come next are fetched before a batch needs them."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from headrace_shards.reading import Reader
    from headrace_shards.sequence import Needed

#: That fetch: while one checks what has come, another one waits for a store.
_THREADS = 2
#: How many bytes may be there, or on their way, that no batch needs yet.
_AHEAD_BYTES = 1 << 30


class Downloads:
    """Fetches shards in the order in which they are needed, no more than there is room for.

    It only opens them sooner than a batch does, and tells of no error: a batch that finds a shard
    missing opens it again, so that errors come in their place, and those of a store that is back
    don't come at all.
    """

    def __init__(self, reader: Reader, limit: int, epoch: int, start: int) -> None:
        """Begin with nothing on its way.

        Args:
            reader: who opens shards.
            limit: how many bytes the folder may have of them.
            epoch: from 0.
            start: the position from which on it is read.
        """
        self._reader = reader
        self._limit = limit
        self._fetched = [split.is_fetched for split in reader.splits]
        self._coming: Iterator[Needed] = iter(())
        if any(self._fetched):
            self._coming = reader.sequence.needed(epoch, start)
        self._next = self._following()
        self._held: list[Needed] = []
        self._pool = ThreadPoolExecutor(_THREADS, thread_name_prefix="headrace-downloads")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Begin nothing more, and wait for what is on its way."""
        self._pool.shutdown(cancel_futures=True)

    def advance(self, done: int, begun: int) -> None:
        """Fetch what comes next.

        Args:
            done: the position up to which all has been read.
            begun: the position up to which rows are being read, or are about to.
        """
        passed = [one for one in self._held if one.use.end <= done]
        if passed:
            self._held = [one for one in self._held if one.use.end > done]
            still = {_key(one) for one in self._held}
            for key in {_key(one) for one in passed} - still:
                self._reader.forget(*key)
        while self._next is not None and self._has_room(self._next, begun):
            self._held.append(self._next)
            self._pool.submit(self._reader.mapped, *_key(self._next))
            self._next = self._following()

    def _has_room(self, wanted: Needed, begun: int) -> bool:
        """Whether a shard may come now: what is needed already has to, whatever the limit."""
        if wanted.use.begin < begun:
            return True
        all_ = [*self._held, wanted]
        ahead = sum(self._size(one) for one in all_ if one.use.begin >= begun)
        return sum(map(self._size, all_)) <= self._limit and ahead <= _AHEAD_BYTES

    def _following(self) -> Needed | None:
        return next((one for one in self._coming if self._fetched[one.split]), None)

    def _size(self, needed: Needed) -> int:
        return self._reader.splits[needed.split].shards[needed.use.shard].raw.size


def _key(needed: Needed) -> tuple[int, int]:
    return needed.split, needed.use.shard
