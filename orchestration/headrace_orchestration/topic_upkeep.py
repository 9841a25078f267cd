"""Which records of a project's topics nobody needs any more, by the lake, its windows and its jobs.

Only the topics of sources are looked at: what the stream writes stays as long as the broker keeps
it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from headrace_batch.ingest.covered import covered_in
from headrace_batch.warehouse import Warehouse
from headrace_features.embedded import Service, read_book
from headrace_features.online.live import project_in
from headrace_features.online.stores import open_store
from headrace_features.online.versions import read_versions
from headrace_schemas.setting_table import EMBEDDED
from headrace_schemas.topics import DEPLOYMENTS
from headrace_streaming.job.assembly import consumer_group
from headrace_streaming.kafka import trimming
from headrace_streaming.kafka.clients import kafka_config
from headrace_streaming.kafka.epochs import deployments
from headrace_streaming.kafka.topics import existing_topics, reach_of

if TYPE_CHECKING:
    from headrace_features.definitions.sources import EventSource
    from headrace_features.project import Project
    from headrace_schemas.settings import Settings


def keep_up_topics(
    settings: Settings, project: Project, now_ms: int, *, dry_run: bool
) -> Iterator[trimming.TopicUpkeep]:
    """Look after the topics of a project's sources, of those that there are.

    Args:
        settings: which broker, lake and store.
        project: the declared definitions.
        now_ms: the present time, ms UTC.
        dry_run: delete nothing.

    Raises:
        RetryableError: broker, lake or store don't answer.
        ConfigurationError: the broker doesn't let a topic be changed, or a table is damaged.
    """
    if not has_broker(settings):
        return
    config = kafka_config(settings)
    kept = _kept_projects(settings, project)
    reach_ms = reach_of(view for one in kept for view in one.views.values())
    known = existing_topics(config)
    groups = {
        consumer_group(one.full_name, newest[-1].epoch)
        for one in kept
        if DEPLOYMENTS in known and (newest := deployments(config, one.name, one.namespace))
    }
    for source in project.sources.values():
        if source.topic in known:
            yield trimming.keep_up(
                config,
                source.topic,
                covered=_covered(settings, source),
                reached_since_ms=None if reach_ms is None else now_ms - reach_ms,
                own_groups=groups,
                dry_run=dry_run,
            )


def has_broker(settings: Settings) -> bool:
    """Whether another broker is named, or the embedded one was ever started."""
    if settings.kafka.bootstrap_servers != EMBEDDED:
        return True
    return Service.KAFKA in read_book(settings.home).services


def _kept_projects(settings: Settings, project: Project) -> list[Project]:
    """What is declared, and what is kept beside it."""
    _, versions = read_versions(open_store(settings))
    return [project, *(project_in(versions, name, project) for name in versions.namespaces)]


def _covered(settings: Settings, source: EventSource) -> trimming.CoveredBy:
    table = Warehouse.of(settings).find(source.table)

    def of(identity: int) -> Mapping[int, int]:
        return {} if table is None else covered_in(table, source.topic).of(identity)

    return of
