"""Up to where a bronze table has taken in a topic: recorded by each commit, found without history.

A commit that adds events of a topic carries Delta application transactions beside them: one for
each partition of the topic, whose version is the next offset, one whose version is the number of
partitions, and one for the identity of the topic. They are in the table's newest state however
long its history is, and hold or fail together with the events.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from deltalake import DeltaTable, Transaction

if TYPE_CHECKING:
    from headrace_batch.warehouse import Warehouse
    from headrace_features.definitions.sources import EventSource

_APPLICATION = "headrace.kafka"
_IDENTITY = "identity"
_PARTITIONS = "partitions"


@dataclass(frozen=True, slots=True)
class Covered:
    """What one version of a table has taken in of a topic.

    Attributes:
        identity: a number that a topic of the same name has not once it was made anew; None where
            the table has taken in nothing.
        offsets: for each partition the offset before which everything was dealt with.
    """

    identity: int | None
    offsets: Mapping[int, int]

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
    return Covered(table.transaction_version(_application(topic, _IDENTITY)), offsets)


def recorded(topic: str, identity: int, offsets: Mapping[int, int]) -> list[Transaction]:
    """The transactions by which a commit says that everything before some offsets is dealt with.

    All partitions of a topic have to be named, which are numbered from 0.
    """
    return [
        Transaction(_application(topic, _IDENTITY), identity),
        Transaction(_application(topic, _PARTITIONS), len(offsets)),
        *(
            Transaction(_application(topic, str(partition)), offset)
            for partition, offset in sorted(offsets.items())
        ),
    ]


def _application(topic: str, what: str) -> str:
    return f"{_APPLICATION}:{topic}:{what}"
