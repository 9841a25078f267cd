"""The decisions that asked a view, and what they say of its features."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pyarrow as pa

    from headrace_features.kernel.arrays import Bools, Ints


class Status(IntEnum):
    """What a decision says of a view's features."""

    COMPLETE = 0
    LATE = 1
    OVERFLOW = 2
    INCOMPLETE = 3
    FULL = 4


@dataclass(frozen=True)
class Asked:
    """The decisions that asked a view.

    Attributes:
        entity: of each the code of the entity.
        key: of each the entity's key, as text.
        time_ms: as of when.
        sequence: how many events the state had taken in.
        status: what it says of the features.
        ids: the dedup keys of the decided events.
        usable: which belong to an entity whose numbers are in order.
        lateness_ms: how late the event of each may have been and be answered.
    """

    entity: Ints
    key: pa.ChunkedArray
    time_ms: Ints
    sequence: Ints
    status: Ints
    ids: pa.ChunkedArray
    usable: Bools
    lateness_ms: Ints

    def __len__(self) -> int:
        """How many there are."""
        return len(self.entity)
