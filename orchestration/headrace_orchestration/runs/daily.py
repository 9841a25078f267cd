"""The run of a day: its events into the lake, history and online values made of them, and a look.

ingest → gate → increment of the history → gate → boundary of the online store → probe

Done one by one, all events are taken in before any are judged: what hasn't come is told first.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING

import msgspec

from headrace_batch.ingest.daily_files import comes_by_days, is_taken_in
from headrace_features.definitions.row_rules import ReferenceRule
from headrace_features.view_modes import ViewMode, view_modes
from headrace_orchestration.runs.assets import history_of, online_of, table_of
from headrace_orchestration.runs.graph import BUSY, DATE, Asset, Graph, Task

if TYPE_CHECKING:
    from headrace_features.definitions.sources import EventSource
    from headrace_features.definitions.views import FeatureView
    from headrace_features.project import Project
    from headrace_schemas.settings import Settings

DAILY = "daily_features"
#: A day is whole at midnight, UTC.
DAILY_CRON = "0 0 * * *"
_DUE_S = 6 * 3_600
_LONG_S = 4 * 3_600


def daily_features(settings: Settings, project: Project, gated: Collection[str]) -> Graph:
    """What is done for each day.

    Args:
        settings: modes, engine, and where things are.
        project: the sources and views.
        gated: the names of those that have rules for whole tables.
    """
    ingests: dict[str, Task] = {}
    for source in _referred_first(project):
        if is_taken_in(settings, source.name):
            referred = [ingests[name].name for name in _referred(source) if name in ingests]
            ingests[source.name] = _taken_in(settings, source, referred)
    gates = {
        name: _gate_of_events(settings, source, ingests.get(name))
        for name, source in project.sources.items()
        if name in gated
    }
    tasks = [*ingests.values(), *gates.values()]
    ready = {name: (task.name,) for name, task in (ingests | gates).items()}
    modes = view_modes(settings, project)
    for view in project.views.values():
        tasks += _made(
            settings,
            view,
            ready.get(view.source.name, ()),
            is_gated=view.name in gated,
            is_corrected=modes[view.name] is ViewMode.LAMBDA,
        )
    return Graph(
        name=DAILY,
        tells="Take in the events of a day and bring history and online values up to its end.",
        cron=DAILY_CRON,
        is_daily=True,
        due_s=_DUE_S,
        tasks=tuple(tasks),
    )


def _referred_first(project: Project) -> list[EventSource]:
    """The sources, each after those that its rules refer to, unless these refer back to it."""
    found: dict[str, EventSource] = {}
    begun: set[str] = set()

    def add(source: EventSource) -> None:
        if source.name in begun:
            return
        begun.add(source.name)
        for name in _referred(source):
            if name in project.sources:
                add(project.sources[name])
        found[source.name] = source

    for source in project.sources.values():
        add(source)
    return list(found.values())


def _referred(source: EventSource) -> list[str]:
    return [rule.to for rule in source.rules if isinstance(rule, ReferenceRule)]


def _taken_in(settings: Settings, source: EventSource, after: Sequence[str]) -> Task:
    name = source.name
    return Task(
        name=f"ingest_{name}",
        command=("ingest", "--date", DATE, "--source", name),
        tells=f"Take the events of {name} of the day into {source.table}, each once."
        " Tried again until they have come.",
        after=tuple(dict.fromkeys(after)),
        writes=(table_of(settings, source),),
        on_spark=is_submitted(settings),
    )


def _gate_of_events(settings: Settings, source: EventSource, after: Task | None) -> Task:
    """The gate of a source; its newest day stands for one that needn't bring any events."""
    gate = _gate(f"validate_{source.name}", source.name, after, table_of(settings, source))
    if comes_by_days(settings, source.name):
        return gate
    return msgspec.structs.replace(gate, command=("validate", source.name))


def _made(
    settings: Settings,
    view: FeatureView,
    ready: tuple[str, ...],
    *,
    is_gated: bool,
    is_corrected: bool,
) -> list[Task]:
    name = view.name
    events, history = table_of(settings, view.source), history_of(settings, view)
    steps = [
        Task(
            name=f"backfill_{name}",
            command=("backfill", "--view", name, "--date", DATE),
            tells=f"Bring the history of {name} up to the end of the day: the day itself, and"
            " earlier ones that events which came late have changed.",
            after=ready,
            slots=BUSY,
            timeout_s=_LONG_S,
            reads=(events,),
            writes=(history,),
            on_spark=is_submitted(settings),
        )
    ]
    if is_gated:
        steps.append(_gate(f"validate_history_{name}", name, steps[-1], history))
    if not is_corrected:
        return steps
    online = online_of(settings, view)
    materialize = Task(
        name=f"materialize_{name}",
        command=("materialize", "--view", name, "--date", DATE),
        tells=f"Move the boundary of {name} online to the end of the day. Readers have the former"
        " values until all new ones are there.",
        after=(steps[-1].name,),
        slots=BUSY,
        timeout_s=_LONG_S,
        reads=(events,),
        writes=(online,),
        on_spark=is_submitted(settings),
    )
    probe = Task(
        name=f"probe_{name}",
        command=("online", "probe", "--view", name, "--date", DATE),
        tells=f"Hold what readers get of {name} to the lake, for some entities of the day.",
        after=(materialize.name,),
        reads=(events, online),
    )
    return [*steps, materialize, probe]


def _gate(name: str, gated: str, after: Task | None, table: Asset) -> Task:
    return Task(
        name=name,
        command=("validate", gated, "--date", DATE),
        tells=f"Hold {gated} to its rules: nothing is published of a day that breaks them.",
        after=() if after is None else (after.name,),
        reads=(table,),
    )


def is_submitted(settings: Settings) -> bool:
    """Whether what computes does so on a cluster of Spark."""
    return settings.engine.default == "spark" and not settings.spark.master.startswith("local")
