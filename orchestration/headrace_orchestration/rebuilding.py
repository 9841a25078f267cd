"""Makes the online store anew from the lake and the topic of updates alone.

Whatever interrupts it, running it again ends the same: it begins by emptying the store.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date
from threading import Event
from typing import TYPE_CHECKING

from headrace_batch.days import last_whole_day
from headrace_batch.warehouse import Warehouse
from headrace_features.embedded import Service
from headrace_features.engines import MaterializeReport
from headrace_features.exclusive import exclusive
from headrace_features.online.stores import open_store
from headrace_features.view_modes import require_batch
from headrace_orchestration.batch_layers import write_layer_of
from headrace_schemas.errors import ConfigurationError, RetryableError
from headrace_streaming.kafka.clients import kafka_config
from headrace_streaming.kafka.reading import next_offsets
from headrace_streaming.kafka.topics import existing_topics, updates_in
from headrace_streaming.services import control
from headrace_streaming.writer.run import run_writer

if TYPE_CHECKING:
    from headrace_features.definitions.views import FeatureView
    from headrace_features.project import Project
    from headrace_orchestration.batch_layers import Step
    from headrace_schemas.settings import Settings


@dataclass(frozen=True, slots=True)
class RebuildReport:
    """What the store was made of.

    Attributes:
        views: the batch layers; none of a view without a whole day of events.
        entities: of all views.
        fields: of all batch layers.
        updates: written from the topic.
        seconds: all that it took.
    """

    views: tuple[MaterializeReport, ...]
    entities: int
    fields: int
    updates: int
    seconds: float


def rebuild(
    settings: Settings,
    project: Project,
    last: date | None,
    told: Callable[[str], None],
    step: Step,
) -> RebuildReport:
    """Empty the store and fill it again.

    Args:
        settings: where store, lake and broker are.
        project: whose views.
        last: the last day of the batch layers, UTC; None is the last whole one of each source.
        told: takes news, a line each.
        step: shows how far a step is.

    Raises:
        RetryableError: another command is at it, or lake, store or broker can't be reached.
        ConfigurationError: one of them can't be used.
    """
    began = time.monotonic()
    taken = RetryableError("another command makes the online store anew", hint="wait for it")
    with exclusive(settings.home / "online.lock", taken):
        # Everything that is needed is looked at before anything is thrown away.
        upto = _ends(settings, project)
        streamed = any(upto.values())
        days = {
            name: _last_day(settings, project.view(name), last, streamed=streamed)
            for name in require_batch(settings, project, [])
        }
        stopped = settings.home / "writer" / "stopped"
        if control.halt(settings.home, Service.WRITER):
            stopped.parent.mkdir(parents=True, exist_ok=True)
            stopped.touch()
        try:
            open_store(settings).remove()
            reports = [
                write_layer_of(settings, project.view(name), day, step, streamed=streamed)
                for name, day in days.items()
                if day is not None
            ]
            updates = _written(settings, project, upto, told, step)
        finally:
            # Also one that a run before this one has stopped and left so.
            if stopped.exists():
                control.up(settings.home, os.environ, wanted=(Service.WRITER,))
                stopped.unlink()
    return RebuildReport(
        tuple(reports),
        sum(one.entities for one in reports),
        sum(one.fields for one in reports),
        updates,
        time.monotonic() - began,
    )


def _written(
    settings: Settings,
    project: Project,
    upto: Mapping[int, int],
    told: Callable[[str], None],
    step: Step,
) -> int:
    """Write what the topic has; returns how many updates that was."""
    if not upto:
        return 0
    with step("write updates") as advance:
        done = run_writer(
            settings, project, Event(), told, shown=lambda one: advance(one.updates), upto=upto
        )
    return done.updates


def _ends(settings: Settings, project: Project) -> dict[int, int]:
    """Where the partitions of updates end; nothing where there never was such a topic."""
    if control.has_no_broker(settings):
        return {}
    config = kafka_config(settings)
    topic = updates_in(project)
    if topic not in existing_topics(config):
        return {}
    return next_offsets(config, topic)


def _last_day(
    settings: Settings, view: FeatureView, asked: date | None, *, streamed: bool
) -> date | None:
    """The last day that a batch layer can hold whole; None if there is none."""
    warehouse = Warehouse.of(settings)
    if warehouse.find(view.source.table) is None:
        return None
    try:
        whole = last_whole_day(settings, view.source, streamed=streamed)
    except ConfigurationError:
        # All that was there was refused.
        return None
    return asked or whole
