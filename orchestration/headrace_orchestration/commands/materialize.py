"""`headrace materialize`: the batch layer of the online store."""

from __future__ import annotations

from datetime import UTC, datetime, time
from types import MappingProxyType
from typing import TYPE_CHECKING, Annotated

import typer

from headrace_orchestration.commands.backfill import EngineName, Views
from headrace_orchestration.output import (
    JsonOption,
    console,
    print_json,
    print_table,
    progress,
)
from headrace_orchestration.session import current_project
from headrace_schemas.days import parse_begun_day

if TYPE_CHECKING:
    from collections.abc import Mapping

    from headrace_features.definitions.views import FeatureView
    from headrace_features.engines import MaterializeReport
    from headrace_features.project import Project
    from headrace_schemas.settings import Settings

Day = Annotated[
    str | None,
    typer.Option(
        "--date",
        help="Last day to hold, UTC. Default: the newest that the lake has whole.",
    ),
]


def materialize(
    view: Views = None, date: Day = None, engine: EngineName = None, as_json: JsonOption = False
) -> None:
    """Bring the state of entities in the online store up to the end of a day.

    Only what has come since is read and written; days may be given again, and in any order. Readers
    see the former state until all of it is there. What happens after it is the stream's: a view
    that is streamed is written up to the day before the newest, of which more may come. Where a
    day fails its gate (headrace validate), nothing is written.
    """
    from headrace_batch.materialize_plans import plans_of
    from headrace_features.engines import load_engine
    from headrace_features.online.live import live_project, served_versions
    from headrace_orchestration.missed_events import missed_by_stream

    settings, project = current_project()
    # Where another version is served, that is what is brought up to date.
    live = live_project(settings, project)
    registered = registered_views(settings, project, served_versions(live))
    runner = load_engine(engine or settings.engine.default, settings)
    day = None if date is None else parse_begun_day(date, "--date", datetime.now(UTC))
    plans = plans_of(settings, live, view or [], day)
    reports = []
    for plan in plans:
        if plan.last is None:
            continue
        with progress(f"materialize {plan.view.name}", quiet=as_json) as advance:
            reports.append(
                runner.materialize(
                    plan.view,
                    plan.last,
                    advance,
                    streamed=plan.streamed,
                    missed=missed_by_stream(settings, plan.view),
                )
            )
        if plan.view.name in registered:
            record(settings, plan.view, reports[-1])
    if as_json:
        print_json(reports)
        return
    print_table(
        None,
        ("view", "version", "up to", "entities written", "new events", "seconds"),
        [
            (
                r.view,
                r.version,
                f"{r.boundary:%Y-%m-%d %H:%M} UTC",
                r.entities,
                r.events,
                round(r.seconds, 2),
            )
            for r in reports
        ],
    )
    for plan in plans:
        if plan.last is None:
            console().print(f"{plan.view.name} was left out: its source has no whole day yet")
    for report in reports:
        if report.anew and not report.events:
            console().print(
                f"there are no events of {report.view} before {report.boundary:%Y-%m-%d}"
            )


def registered_views(
    settings: Settings, project: Project, served: Mapping[str, int] = MappingProxyType({})
) -> frozenset[str]:
    """The views that are registered in Feast as they are declared.

    Raises:
        ConfigurationError: one of them means something else without having a new version.
    """
    from headrace_features.feast_plugin.changes import refuse_silent_changes
    from headrace_features.feast_plugin.registry_file import pending_changes

    pending = pending_changes(settings, project, served)
    refuse_silent_changes(pending)
    return frozenset(change.view for change in pending if change.kind == "unchanged")


def record(settings: Settings, view: FeatureView, report: MaterializeReport) -> None:
    """Note in the registry what the online store has of a registered view."""
    from headrace_batch.days import days_with_events

    # Only now: Feast takes seconds to import.
    from headrace_features.feast_plugin.repository import record_materialization

    first, _ = days_with_events(settings, view.source)
    start = datetime.combine(first, time(), UTC)
    record_materialization(settings, view.name, start, report.boundary)
