"""How many records are written at once: few while they trickle, many after a backlog."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from headrace_streaming.writer.places import Read


@dataclass(frozen=True, slots=True)
class Limits:
    """The bounds of a batch.

    Attributes:
        records: how many at most.
        size: bytes of values after which it is full.
        linger_s: how long one that isn't full waits for more after its first record.
        longest_s: how long it is filled, however quickly more comes.
    """

    records: int = 5_000
    size: int = 8 << 20
    linger_s: float = 0.005
    longest_s: float = 0.1


def collect(
    poll: Callable[[float], Read | None],
    limits: Limits,
    clock: Callable[[], float],
    patience_s: float,
) -> list[Read]:
    """The records of one batch; none if nothing comes.

    Args:
        poll: waits so many seconds for a record.
        limits: when it is full.
        clock: seconds.
        patience_s: how long the first one is waited for.
    """
    first = poll(patience_s)
    if first is None:
        return []
    found = [first]
    size = _size(first)
    began = clock()
    while len(found) < limits.records and size < limits.size:
        taken = clock() - began
        if taken >= limits.longest_s:
            break
        read = poll(0.0)
        if read is None and taken < limits.linger_s:
            read = poll(limits.linger_s - taken)
        if read is None:
            break
        found.append(read)
        size += _size(read)
    return found


def _size(read: Read) -> int:
    return len(read.value or b"")
