"""Latencies of an open loop: from when an event was to be sent to when its answer is readable."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

_NS_PER_S = 1_000_000_000
_NS_PER_MS = 1_000_000


@dataclass(frozen=True, slots=True)
class Schedule:
    """Events at a fixed rate from a start on, whether earlier ones were answered or not.

    Attributes:
        start_ns: when the first event is due, ns of a clock that only goes forward.
        rate: events per second.
    """

    start_ns: int
    rate: float

    def due_ns(self, number: int) -> int:
        """When an event is meant to be sent; the first has the number 0."""
        return self.start_ns + math.ceil(number * _NS_PER_S / self.rate)

    def count_due(self, now_ns: int) -> int:
        """How many events are due at a time, those of that very instant included."""
        elapsed_ns = now_ns - self.start_ns
        return 0 if elapsed_ns < 0 else math.floor(elapsed_ns * self.rate / _NS_PER_S) + 1


def latencies_ms(
    due_ns: Mapping[bytes, int], readable_ns: Mapping[bytes, int]
) -> tuple[list[float], int]:
    """What passed until each answer could be read, in ascending order, and how many never came.

    One that never came counts as infinitely late, so that losing answers never looks quick.

    Args:
        due_ns: by the id of the event, when it was meant to be sent.
        readable_ns: by the same id, when its answer was read; others are left out.
    """
    found = sorted(
        (readable_ns[key] - due) / _NS_PER_MS for key, due in due_ns.items() if key in readable_ns
    )
    missing = len(due_ns) - len(found)
    return found + [math.inf] * missing, missing


def percentile(ascending: Sequence[float], share: float) -> float:
    """The least value that `share` of all values don't exceed; NaN where there is none."""
    if not ascending:
        return math.nan
    return ascending[max(math.ceil(share * len(ascending)) - 1, 0)]
