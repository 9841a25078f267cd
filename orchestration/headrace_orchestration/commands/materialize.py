"""`headrace materialize`: the batch layer of the online store."""

from __future__ import annotations

from datetime import UTC, date, datetime, time
from functools import partial
from types import MappingProxyType
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from headrace_orchestration.commands.backfill import Views
from headrace_orchestration.days import parse_begun_day
from headrace_orchestration.output import (
    JsonOption,
    console,
    print_json,
    print_table,
    progress,
    say,
)
from headrace_orchestration.session import current_project
from headrace_schemas.errors import ConfigurationError, HeadraceError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from headrace_batch.healing import Missed
    from headrace_batch.materialize import MaterializeReport
    from headrace_features.definitions.views import FeatureView
    from headrace_features.project import Project
    from headrace_schemas.settings import Settings

Day = Annotated[
    str | None,
    typer.Option(
        "--date",
        help="Last day to hold, UTC. Default: the newest that the lake has whole.",
    ),
]


def materialize(view: Views = None, date: Day = None, as_json: JsonOption = False) -> None:
    """Bring the state of entities in the online store up to the end of a day.

    Only what has come since is read and written; days may be given again, and in any order. Readers
    see the former state until all of it is there. What happens after it is the stream's: a view
    that is streamed is written up to the day before the newest, of which more may come.
    """
    from headrace_batch.materialize import materialize_view
    from headrace_features.online.live import live_project, served_versions
    from headrace_features.view_modes import require_batch

    settings, project = current_project()
    # Where another version is served, that is what is brought up to date.
    live = live_project(settings, project)
    registered = registered_views(settings, project, served_versions(live))
    project = live
    views = [project.view(name) for name in require_batch(settings, project, view or [])]
    day = None if date is None else parse_begun_day(date, "--date", datetime.now(UTC))
    plans = _plans(settings, views, day)
    if view or not any(plan.last for plan in plans):
        _require_whole(settings, plans)
    reports = []
    for plan in plans:
        if plan.last is None:
            continue
        with progress(f"materialize {plan.view.name}", quiet=as_json) as advance:
            reports.append(
                materialize_view(
                    settings,
                    plan.view,
                    plan.last,
                    advance,
                    streamed=plan.streamed,
                    missed=partial(_missed, settings, plan.view),
                )
            )
        if plan.view.name in registered:
            record(settings, plan.view, reports[-1])
    if as_json:
        print_json(reports)
        return
    print_table(
        None,
        ("view", "up to", "entities written", "new events", "seconds"),
        [
            (r.view, f"{r.boundary:%Y-%m-%d %H:%M} UTC", r.entities, r.events, round(r.seconds, 2))
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


def _missed(settings: Settings, view: FeatureView, since_ms: int) -> Mapping[bytes, Missed]:
    """What the stream's state of a view lacks; nothing, which is said, if no broker tells."""
    from headrace_orchestration.missed_events import missed_events

    try:
        return missed_events(settings, view, since_ms)
    except HeadraceError as error:
        say(f"the account of healing lacks what the stream has missed: {error}")
        return {}


class _Plan(NamedTuple):
    """Up to the end of which day a view is written, if any; and whether it is streamed."""

    view: FeatureView
    last: date | None
    streamed: bool


def _plans(settings: Settings, views: Sequence[FeatureView], day: date | None) -> list[_Plan]:
    """What to write of each view: up to a day, or else the last that its source has whole."""
    from headrace_batch.days import last_whole_day
    from headrace_features.online.served import view_key
    from headrace_features.online.store import layers_of
    from headrace_features.online.stores import open_store

    keys = [view_key(view) for view in views]
    layers = layers_of(open_store(settings), keys)
    plans = []
    for view, key in zip(views, keys, strict=True):
        batch, stream = layers[key]
        streamed = stream is not None
        last = day or last_whole_day(settings, view.source, streamed=streamed)
        if day is None and batch is not None:
            # What was given a later day by hand is brought up to date.
            held = datetime.fromtimestamp(batch.boundary_ms // 1000 - 1, UTC).date()
            last = held if last is None else max(last, held)
        plans.append(_Plan(view, last, streamed))
    return plans


def _require_whole(settings: Settings, plans: Sequence[_Plan]) -> None:
    """See that each source has a whole day.

    Raises:
        ConfigurationError: one has none.
    """
    from headrace_batch.days import days_with_events

    for plan in plans:
        if plan.last is None:
            source = plan.view.source
            _, newest = days_with_events(settings, source)
            raise ConfigurationError(
                f"source {source.name} has no whole day of events yet",
                hint=f"what there is of its newest day so far: --date {newest}",
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
