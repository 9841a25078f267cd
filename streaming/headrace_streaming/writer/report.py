"""How far the online store is with the updates, by what the store and the broker say."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from headrace_features.embedded import Service, read_book
from headrace_features.online.stores import open_store
from headrace_features.processes import is_alive
from headrace_streaming.kafka.clients import kafka_config
from headrace_streaming.kafka.reading import ends
from headrace_streaming.kafka.topics import updates_in
from headrace_streaming.writer.loop import now_ms
from headrace_streaming.writer.status import WriterStatus, read_status

if TYPE_CHECKING:
    from collections.abc import Iterable

    from headrace_features.project import Project
    from headrace_schemas.settings import Settings

#: A writer that has all tells so every second.
_RECENT_S = 5.0


@dataclass(frozen=True, slots=True)
class PartitionReport:
    """One partition of the topic of updates.

    Attributes:
        partition: its number.
        next_offset: everything before it is in the store; None if nothing is.
        lag: how many offsets are left.
        current_s: how many seconds ago the store last had everything that there was.
    """

    partition: int
    next_offset: int | None
    lag: int
    current_s: float | None


@dataclass(frozen=True, slots=True)
class StoreReport:
    """How far the store is.

    Attributes:
        running: whether a writer, wherever it runs, has had everything of late, or that of
            `headrace up` is alive.
        partitions: of the topic.
        embedded: what the writer of `headrace up` tells, if it is alive.
    """

    running: bool
    partitions: tuple[PartitionReport, ...]
    embedded: WriterStatus | None


def writer_report(settings: Settings, project: Project) -> StoreReport:
    """Look at store and broker.

    Raises:
        ConfigurationError: the broker has no topic of updates, or the store can't be used.
        RetryableError: one of them doesn't answer.
    """
    held = open_store(settings, project.namespace).progress()
    at_ms = now_ms()
    partitions = []
    for number, (oldest, end) in ends(kafka_config(settings), updates_in(project)).items():
        place = held.get(number)
        upto = oldest if place is None else max(place.next_offset, oldest)
        current_s = None
        if place is not None and place.current_ms:
            current_s = max(at_ms - place.current_ms, 0) / 1000
        next_offset = None if place is None else place.next_offset
        partitions.append(PartitionReport(number, next_offset, max(end - upto, 0), current_s))
    entry = read_book(settings.home).services.get(Service.WRITER)
    alive = entry is not None and entry.process is not None and is_alive(entry.process)
    recent = _recent(one.current_s for one in partitions)
    return StoreReport(
        alive or recent, tuple(partitions), read_status(settings.home) if alive else None
    )


def _recent(seconds: Iterable[float | None]) -> bool:
    return any(one is not None and one < _RECENT_S for one in seconds)
