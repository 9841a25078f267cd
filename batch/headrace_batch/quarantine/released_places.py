"""Where in Kafka events were that came into the table of their source from its quarantine."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING, NamedTuple

from headrace_batch.quarantine.kept_rows import kept_rows, released_rows

if TYPE_CHECKING:
    from headrace_batch.warehouse import Warehouse
    from headrace_features.definitions.sources import EventSource


class Place(NamedTuple):
    """A record of Kafka."""

    topic: str
    partition: int
    offset: int


def released_places(
    warehouse: Warehouse, source: EventSource, keys: Collection[str]
) -> dict[str, Place]:
    """By dedup key the records that events were released from.

    The table itself doesn't have that: its positions say what an ingest has taken in of the topic,
    which the stream has as well.

    Args:
        warehouse: where the tables are.
        source: whose events.
        keys: of those of which the table has no position.

    Raises:
        ConfigurationError: a table is damaged.
    """
    released = released_rows(warehouse, source) if keys else frozenset()
    if not released:
        return {}
    found: dict[str, Place] = {}
    for row in kept_rows(warehouse, source, names=released):
        key = str((row.event or {}).get(source.dedup_key))
        if row.is_of_topic and key in keys:
            topic, _, partition = row.file.removeprefix("kafka://").rpartition("/")
            found.setdefault(key, Place(topic, int(partition), row.row_number))
    return found
