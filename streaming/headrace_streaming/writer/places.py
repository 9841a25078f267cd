"""How far one partition of updates is written, and how far the store knows that."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from headrace_features.online.store import Progress


@dataclass(slots=True, eq=False)
class Place:
    """A partition that is written here.

    Attributes:
        partition: its number.
        held: the next offset that the store has noted; -1 for none.
        upto: everything before it is written.
        current_ms: when everything that there was was written, ms UTC.
        end: where the partition ended and when it was asked, ms UTC, as long as that is ahead.
    """

    partition: int
    held: int
    upto: int
    current_ms: int
    end: tuple[int, int] | None = None

    @classmethod
    def after(cls, partition: int, held: Progress | None) -> Place:
        """The place at which the store is; None is the beginning."""
        if held is None:
            return cls(partition, -1, 0, 0)
        return cls(partition, held.next_offset, held.next_offset, held.current_ms)

    def ended_at(self, oldest: int, end: int, at_ms: int) -> bool:
        """Take note of where the partition ends; False if it never came as far as it is written.

        Then the topic was made anew, and is read from its beginning.
        """
        if self.upto > end:
            self.upto, self.end = oldest, None
            return False
        # What is older isn't there any more.
        self.upto = max(self.upto, oldest)
        if self.end is None or self.upto >= self.end[0]:
            self.end = (end, at_ms)
        return True

    def progress(self, upto: int) -> Progress:
        """What the store is to note once everything before an offset is written."""
        if self.end is not None and upto >= self.end[0]:
            return Progress(upto, self.end[1])
        return Progress(upto, self.current_ms)

    def noted(self, progress: Progress) -> None:
        """Take over what the store has noted."""
        self.held = self.upto = progress.next_offset
        self.current_ms = progress.current_ms
        if self.end is not None and self.upto >= self.end[0]:
            self.end = None

    @property
    def lag(self) -> int | None:
        """How many records are left until the end that was last seen; None before that."""
        return None if self.end is None else max(self.end[0] - self.upto, 0)


def has_all(progress: Mapping[int, Progress], ends: Mapping[int, int]) -> bool:
    """Whether a store has everything before some offsets, by partition."""
    return all(
        end == 0 or (number in progress and progress[number].next_offset >= end)
        for number, end in ends.items()
    )


class Read(NamedTuple):
    """A record of a partition.

    Attributes:
        place: what its partition was read for.
        offset: where it is there.
        value: None if its key was deleted.
    """

    place: Place
    offset: int
    value: bytes | None
