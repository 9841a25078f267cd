"""Events as a network delivers them: most in order, some late, some twice, some spoilt."""

from __future__ import annotations

import heapq
import random
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

from headrace_schemas.errors import ConfigurationError

_SHUFFLED_MS = 5_000
_LATE_MS = 6 * 3_600_000
_AGAIN_MS = 60_000


class Sent(NamedTuple):
    """One record on its way.

    Attributes:
        at_ms: when it is sent, on the time axis of the events, ms UTC.
        topic: where to.
        key: what it is keyed by.
        value: the event as JSON.
    """

    at_ms: int
    topic: str
    key: str
    value: bytes


@dataclass(frozen=True, slots=True)
class Disorder:
    """Which share of the records suffers what; each share is from 0 to 1.

    Attributes:
        out_of_order: sent up to five seconds after records that are younger.
        late: sent up to six hours after them.
        duplicated: sent a second time within a minute.
        spoilt: cut off, so that they can't be read.
    """

    out_of_order: float = 0.0
    late: float = 0.0
    duplicated: float = 0.0
    spoilt: float = 0.0

    def __post_init__(self) -> None:
        """Check the shares."""
        for name in ("out_of_order", "late", "duplicated", "spoilt"):
            share = getattr(self, name)
            if not 0 <= share <= 1:
                raise ConfigurationError(f"{name} is {share}, expected a share from 0 to 1")


def disturbed(records: Iterable[Sent], disorder: Disorder, chance: random.Random) -> Iterator[Sent]:
    """Records in the order in which they are sent, some of them more than once.

    Args:
        records: in the order of their time.
        disorder: what happens to them.
        chance: decides which.
    """
    waiting: list[tuple[int, int, Sent]] = []
    number = 0
    for record in records:
        while waiting and waiting[0][0] <= record.at_ms:
            yield heapq.heappop(waiting)[2]
        for one in _fate(record, disorder, chance):
            if one.at_ms <= record.at_ms and not waiting:
                yield one
            else:
                number += 1
                heapq.heappush(waiting, (one.at_ms, number, one))
    while waiting:
        yield heapq.heappop(waiting)[2]


def _fate(record: Sent, disorder: Disorder, chance: random.Random) -> Iterator[Sent]:
    if chance.random() < disorder.spoilt:
        yield record._replace(value=record.value[: len(record.value) // 2])
        return
    if chance.random() < disorder.late:
        record = record._replace(at_ms=record.at_ms + chance.randrange(_LATE_MS))
    elif chance.random() < disorder.out_of_order:
        record = record._replace(at_ms=record.at_ms + chance.randrange(_SHUFFLED_MS))
    yield record
    if chance.random() < disorder.duplicated:
        yield record._replace(at_ms=record.at_ms + chance.randrange(_AGAIN_MS))
