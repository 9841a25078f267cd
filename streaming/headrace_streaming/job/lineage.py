"""What the stream job tells of itself when it is deployed and when it is stopped.

Flink's own listener sees sources and sinks of ours that have no names; the plan has them all.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING
from uuid import NAMESPACE_URL, UUID, uuid5

from headrace_features.lineage.places import store_place, topic_place
from headrace_features.lineage.recording import tell
from headrace_features.lineage.told import Span, Told, Work, told_of_source, told_of_view
from headrace_features.online.served import view_key
from headrace_features.portable_project import project_from
from headrace_schemas.topics import ALERTS, DEAD_LETTERS, DECISIONS, LATE_EVENTS, topic_apart
from headrace_streaming.job.assembly import consumer_group
from headrace_streaming.kafka.clients import kafka_config
from headrace_streaming.kafka.epochs import Deployed, deployments
from headrace_streaming.kafka.reading import reached
from headrace_streaming.kafka.topics import updates_in

if TYPE_CHECKING:
    from headrace_features.project import Project
    from headrace_schemas.settings import Settings


def stream_began(settings: Settings, project: Project, job_id: str, *, live: bool) -> None:
    """Tell that the job of a project was deployed, and what the writer makes of its updates.

    Args:
        settings: where the broker is, and where it is told.
        project: whose job.
        job_id: in Flink, by which its run is named.
        live: whether its decisions are the project's.
    """
    tell(settings, partial(_stream, settings, project, live=live), str(UUID(job_id)))
    writer = f"{settings.lineage.namespace}/{project.full_name}/writer"
    tell(settings, partial(_writer, settings, project), str(uuid5(NAMESPACE_URL, writer)))


def stream_ended(settings: Settings, full_name: str, job_id: str) -> None:
    """Tell that a job was stopped, and up to where it had read its topics.

    Args:
        settings: where the broker is, and where it is told.
        full_name: of the project in its namespace.
        job_id: in Flink.
    """
    name, _, namespace = full_name.partition(".")
    tell(settings, partial(_ended, settings, name, namespace), str(UUID(job_id)), ends=True)


def _stream(settings: Settings, project: Project, *, live: bool) -> Work:
    """The job, with the offsets that its newest deployment began with."""
    deployed = _newest(settings, project.name, project.namespace)
    starts = deployed.told.starts or {}
    facts: dict[str, str | int] = {"epoch": deployed.epoch, "mode": deployed.told.mode}
    if deployed.told.restored_from is not None:
        facts["restored_from"] = deployed.told.restored_from
    reads = tuple(
        replace(
            told_of_source(source, topic_place(settings, source.topic)),
            offsets={
                number: Span(first, first) for number, first in starts.get(source.name, {}).items()
            },
        )
        for source in project.sources.values()
    )
    kept = (DECISIONS, LATE_EVENTS)
    apart = [topic_apart(name, project.name, project.namespace) for name in kept]
    outputs = [*kept, ALERTS, DEAD_LETTERS] if live else [*apart, DEAD_LETTERS]
    writes = [Told(topic_place(settings, name)) for name in outputs]
    updates = Told(topic_place(settings, updates_in(project)), facts=facts)
    return Work(_job(project.namespace), reads, (updates, *writes), is_stream=True)


def _ended(settings: Settings, name: str, namespace: str) -> Work:
    """The same once it has ended: what it has read."""
    deployed = _newest(settings, name, namespace)
    full_name = f"{name}.{namespace}" if namespace else name
    group = consumer_group(full_name, deployed.epoch)
    kafka = kafka_config(settings)
    starts = deployed.told.starts or {}
    reads = []
    sources = project_from(deployed.told.definitions or {}).sources
    for source in (sources[one] for one in sorted(sources)):
        first = starts.get(source.name, {})
        spans = {
            number: Span(first.get(number, 0), before)
            for number, before in reached(kafka, group, source.topic).items()
        }
        place = topic_place(settings, source.topic)
        reads.append(replace(told_of_source(source, place), offsets=spans))
    return Work(_job(namespace), tuple(reads), is_stream=True)


def _writer(settings: Settings, project: Project) -> Work:
    """The writers of the project's updates, which are one group however many there are."""
    updates = topic_place(settings, updates_in(project))
    events = {
        view.name: topic_place(settings, view.source.topic) for view in project.views.values()
    }
    writes = tuple(
        told_of_view(view, store_place(settings, view_key(view)), events[view.name])
        for view in project.views.values()
    )
    job = f"writer.{project.namespace}" if project.namespace else "writer"
    return Work(job, (Told(updates),), writes, is_stream=True)


def _newest(settings: Settings, name: str, namespace: str) -> Deployed:
    return deployments(kafka_config(settings), name, namespace)[-1]


def _job(namespace: str) -> str:
    return f"stream.{namespace}" if namespace else "stream"
