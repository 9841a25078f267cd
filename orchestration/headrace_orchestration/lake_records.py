"""The events of the lake that a stream's state is made of, and where Kafka goes on after them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from headrace_batch.lake_history import has_other_events, history_of
from headrace_batch.warehouse import Warehouse
from headrace_features.decisions import decisions_of
from headrace_features.definitions.sources import EventSource
from headrace_features.project import Project
from headrace_orchestration.event_records import EventRecords
from headrace_schemas.settings import Settings
from headrace_streaming.job.config import LakeState
from headrace_streaming.kafka.topics import topics_of

_MS = timedelta(milliseconds=1)


@dataclass(frozen=True, slots=True)
class LakeRecords:
    """What the lake has for the state of a project's stream.

    Attributes:
        records: the events, as far back as windows reach.
        state: what a state has that is made of them: up to which offsets of the topics, and since
            when.
    """

    records: EventRecords
    state: LakeState


def lake_records(settings: Settings, project: Project) -> LakeRecords:
    """Read what a stream that begins now needs of the past.

    Raises:
        ConfigurationError: a source has no table, or its topic was never taken into the lake.
        RetryableError: the lake can't be reached.
    """
    warehouse = Warehouse.of(settings)
    lateness_ms = settings.stream.lateness // _MS
    histories = [
        history_of(warehouse, source, _reach_ms(project, source, lateness_ms))
        for source in _sources(project)
    ]
    keys = {topic.name: topic.key for topic in topics_of(project)}
    return LakeRecords(
        EventRecords([(history.source, history.events) for history in histories], keys),
        LakeState(
            starts={history.source.name: history.offsets for history in histories},
            since_ms={
                history.source.name: history.since_ms
                for history in histories
                if history.since_ms is not None
            },
        ),
    )


def also_in_files(settings: Settings, project: Project) -> list[str]:
    """The sources of a project's stream of which the lake has events that aren't of their topics.

    Raises:
        ConfigurationError: a table is damaged.
        RetryableError: the lake can't be reached.
    """
    warehouse = Warehouse.of(settings)
    return [one.name for one in _sources(project) if has_other_events(warehouse, one)]


def _sources(project: Project) -> list[EventSource]:
    """The sources that the stream reads: of the views it keeps, and of what it decides on."""
    found: dict[str, EventSource] = {}
    for decisions in decisions_of(project):
        for source in (decisions.source, *(view.source for view in decisions.views)):
            found[source.name] = source
    return list(found.values())


def _reach_ms(project: Project, source: EventSource, lateness_ms: int) -> int | None:
    """How far back any view looks at a source, for the latest event that can be decided on."""
    reaches = [
        view.lookback_ms for view in project.views.values() if view.source.name == source.name
    ]
    known = [reach for reach in reaches if reach is not None]
    if len(known) < len(reaches):
        return None
    return max(known, default=0) + lateness_ms
