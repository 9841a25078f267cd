"""Up to where a bronze table has taken in a topic: recorded by each commit, found without history.

A commit that adds events of a topic carries Delta application transactions beside them: one for
each partition of the topic, whose version is the next offset, and one whose version is the offset
that was the first, one whose version is the number of partitions, and one for the identity of the
topic. They are in the table's newest state however
long its history is, and hold or fail together with the events.

So do those that tell how far each partition has come: the greatest of its events' times, and when
the newest of its events came into the table.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from deltalake import DeltaTable, Transaction

if TYPE_CHECKING:
    from headrace_batch.warehouse import Warehouse
    from headrace_features.definitions.sources import EventSource

_APPLICATION = "headrace.kafka"
_IDENTITY = "identity"
_PARTITIONS = "partitions"
_CAME = "came"
_FIRST = "first"


@dataclass(frozen=True, slots=True)
class Covered:
    """What one version of a table has taken in of a topic.

    Attributes:
        identity: a number that a topic of the same name has not once it was made anew; None where
            the table has taken in nothing.
        offsets: for each partition the offset before which everything was dealt with.
        first: for each partition the offset from which on; none where an older release began.
    """

    identity: int | None
    offsets: Mapping[int, int]
    first: Mapping[int, int] = field(default_factory=dict)

    def of(self, identity: int) -> Mapping[int, int]:
        """The offsets, if they are of the topic with that identity, or else none."""
        return self.offsets if self.identity == identity else {}


def covered_offsets(warehouse: Warehouse, source: EventSource) -> Mapping[int, int]:
    """The offset of each partition before which the bronze table of a source has everything.

    Whoever reads the table goes on with Kafka from them. They belong to the newest version of the
    table; `covered_in` gives those of a version that is open already.

    Raises:
        ConfigurationError: the table's log can't be read.
        RetryableError: the store can't be reached.
    """
    table = warehouse.find(source.table)
    if table is None:
        return {}
    with warehouse.explaining(source.table):
        return covered_in(table, source.topic).offsets


def covered_in(table: DeltaTable, topic: str) -> Covered:
    """What one version of a table has taken in of a topic."""
    partitions = table.transaction_version(_application(topic, _PARTITIONS)) or 0
    offsets = {
        partition: table.transaction_version(_application(topic, str(partition))) or 0
        for partition in range(partitions)
    }
    firsts = {
        partition: table.transaction_version(_application(topic, f"{partition}:{_FIRST}"))
        for partition in offsets
    }
    return Covered(
        table.transaction_version(_application(topic, _IDENTITY)),
        offsets,
        {partition: first for partition, first in firsts.items() if first is not None},
    )


def reached_ms(table: DeltaTable, source: EventSource, column: str, idle_ms: int) -> int | None:
    """The least time that all partitions of a topic have reached, ms UTC: the smallest watermark.

    A partition to which nothing has come for a while before the newest event came is idle, and
    holds nothing back.

    Args:
        table: of the source.
        source: whose topic.
        column: of the times.
        idle_ms: how long that while is.

    Returns:
        None where the table doesn't tell: it has taken in nothing from the topic.
    """
    found = []
    for partition in covered_in(table, source.topic).offsets:
        newest = table.transaction_version(_application(source.topic, f"{partition}:{column}"))
        came = table.transaction_version(_application(source.topic, f"{partition}:{_CAME}"))
        if newest is not None and came is not None:
            found.append((newest, came))
    last_ms = max((came for _, came in found), default=0)
    return min((newest for newest, came in found if last_ms - came <= idle_ms), default=None)


def times_told(
    table: DeltaTable, topic: str, newest: Mapping[int, Mapping[str, int]], came_ms: int
) -> list[Transaction]:
    """The transactions by which a commit says how far partitions have come.

    Args:
        table: onto which it is made.
        topic: whose partitions.
        newest: by partition with events, for each column of times the greatest.
        came_ms: the present time, ms UTC.
    """
    told = []
    for partition, columns in sorted(newest.items()):
        told.append(Transaction(_application(topic, f"{partition}:{_CAME}"), came_ms))
        for column, newest_ms in columns.items():
            name = _application(topic, f"{partition}:{column}")
            told.append(Transaction(name, max(newest_ms, table.transaction_version(name) or 0)))
    return told


def recorded(
    topic: str, identity: int, offsets: Mapping[int, int], first: Mapping[int, int]
) -> list[Transaction]:
    """The transactions by which a commit says that everything before some offsets is dealt with.

    All partitions of a topic have to be named, which are numbered from 0.

    Args:
        topic: its name.
        identity: tells it from one that had its name.
        offsets: for each partition the offset.
        first: with which offset partitions have begun, of those of which the table doesn't tell.
    """
    return [
        Transaction(_application(topic, _IDENTITY), identity),
        Transaction(_application(topic, _PARTITIONS), len(offsets)),
        *(
            Transaction(_application(topic, str(partition)), offset)
            for partition, offset in sorted(offsets.items())
        ),
        *(
            Transaction(_application(topic, f"{partition}:{_FIRST}"), offset)
            for partition, offset in sorted(first.items())
        ),
    ]


def _application(topic: str, what: str) -> str:
    return f"{_APPLICATION}:{topic}:{what}"
