"""Brings the batch layers of views up to the newest day that the lake has whole."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import date
from typing import TYPE_CHECKING

from headrace_batch.event_files import EventFiles
from headrace_batch.materialize_plans import plans_for
from headrace_batch.warehouse import Warehouse
from headrace_features.engines import MaterializeReport, load_engine
from headrace_features.view_modes import ViewMode, view_modes
from headrace_orchestration.missed_events import missed_by_stream

if TYPE_CHECKING:
    from headrace_features.definitions.sources import EventSource
    from headrace_features.definitions.views import FeatureView
    from headrace_features.project import Project
    from headrace_schemas.settings import Settings

    #: Shows work going on: of a label the number of rows done.
    Step = Callable[[str], AbstractContextManager[Callable[[int], None]]]


def write_layer(settings: Settings, view: FeatureView, step: Step) -> MaterializeReport | None:
    """Bring what a view has by batch up to date; None where its source has no whole day.

    Raises:
        RetryableError: another process is at it, or lake or store don't answer.
        ConfigurationError: the source has no events, or a table is damaged.
    """
    (plan,) = plans_for(settings, [view], None)
    if plan.last is None:
        return None
    return write_layer_of(settings, view, plan.last, step, streamed=plan.streamed)


def write_layer_of(
    settings: Settings, view: FeatureView, last: date, step: Step, *, streamed: bool
) -> MaterializeReport:
    """Bring what a view has by batch up to a day, by the engine of the settings.

    Raises:
        GateError: a day doesn't pass its gate.
        RetryableError: another process is at it, or lake or store don't answer.
        ConfigurationError: a table is damaged.
    """
    with step(f"materialize {view.name}") as advance:
        engine = load_engine(settings.engine.default, settings)
        missed = missed_by_stream(settings, view)
        return engine.materialize(view, last, advance, streamed=streamed, missed=missed)


def write_all_layers(settings: Settings, project: Project, step: Step) -> None:
    """Bring up to date what a project's views have by batch: those with a mode and events for it.

    Raises:
        RetryableError: another process is at it, or lake or store don't answer.
        ConfigurationError: a table is damaged.
    """
    modes = view_modes(settings, project)
    for name, view in project.views.items():
        if modes[name] is ViewMode.LAMBDA and events_in_lake(settings, view.source):
            write_layer(settings, view, step)


def events_in_lake(settings: Settings, source: EventSource) -> int:
    """How many events of a source the lake has, by the log of its table.

    Raises:
        ConfigurationError: the table is damaged.
        RetryableError: the lake can't be reached.
    """
    warehouse = Warehouse.of(settings)
    if warehouse.find(source.table) is None:
        return 0
    return sum(file.rows for file in EventFiles(warehouse, source).all())
