"""`headrace backfill`: the history of a view, written to its feature table."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer

from headrace_orchestration.output import JsonOption, console, print_json, print_table, progress
from headrace_orchestration.session import current_project
from headrace_schemas.days import parse_begun_day, parse_day
from headrace_schemas.errors import ConfigurationError

if TYPE_CHECKING:
    from headrace_features.definitions.views import FeatureView
    from headrace_features.engines import BackfillReport, Engine
    from headrace_schemas.settings import Settings

Views = Annotated[
    list[str] | None, typer.Option("--view", help="A view; again for more. Default: all.")
]
Start = Annotated[str | None, typer.Option(help="First day, UTC. Default: the first with events.")]
Day = Annotated[
    str | None,
    typer.Option(
        "--date",
        help="Bring the history up to the end of a day, UTC: days that are new, and those of which"
        " events have come since.",
    ),
]
End = Annotated[str | None, typer.Option(help="Last day, UTC. Default: the last with events.")]
EngineName = Annotated[
    str | None, typer.Option("--engine", help="local or spark. Default: as the settings say.")
]


def backfill(  # noqa: PLR0913, PLR0917 - one for each option
    view: Views = None,
    start: Start = None,
    end: End = None,
    date: Day = None,
    engine: EngineName = None,
    as_json: JsonOption = False,
) -> None:
    """Write point-in-time values for every event of some days, in place of what was there."""
    from headrace_features.engines import load_engine

    if date is not None and (start or end):
        raise ConfigurationError(
            "--start and --end can't go with --date, which finds the days to write itself",
            hint="leave one of them out",
        )
    settings, project = current_project()
    views = [project.view(name) for name in view] if view else list(project.views.values())
    runner = load_engine(engine or settings.engine.default, settings)
    reports: list[BackfillReport] = []
    for declared in views:
        with progress(f"backfill {declared.name}", quiet=as_json):
            reports += (
                _increment(settings, runner, declared, date)
                if date is not None
                else _span(settings, runner, declared, start, end)
            )
    if as_json:
        print_json(reports)
        return
    print_table(
        None,
        ("view", "first day", "last day", "rows", "seconds"),
        [(r.view, r.first, r.last, r.rows, round(r.seconds, 2)) for r in reports],
    )
    for report in reports:
        console().print(f"{report.view} → {report.table}", soft_wrap=True)
        if not report.rows:
            console().print(
                f"there are no events of {report.view} from {report.first} to {report.last}"
            )
    for name in {one.name for one in views} - {report.view for report in reports}:
        console().print(f"the history of {name} has all that has come up to {date} already")


def _increment(
    settings: Settings, runner: Engine, view: FeatureView, text: str
) -> list[BackfillReport]:
    from headrace_batch.history_increment import bring_up_to
    from headrace_batch.quality.standing_gates import require_history_gate
    from headrace_batch.warehouse import Warehouse

    last = parse_begun_day(text, "--date", datetime.now(UTC))
    gate = partial(require_history_gate, settings, view, last)
    gate()
    write = partial(runner.backfill, view, asked=gate)
    return bring_up_to(Warehouse.of(settings), view, last, write)


def _span(
    settings: Settings, runner: Engine, view: FeatureView, start: str | None, end: str | None
) -> list[BackfillReport]:
    from headrace_batch.days import days_with_events
    from headrace_batch.history_increment import write_all
    from headrace_batch.warehouse import Warehouse

    first, last = days_with_events(settings, view.source)
    if start is None and end is None:
        return write_all(
            Warehouse.of(settings), view, (first, last), partial(runner.backfill, view)
        )
    return [
        runner.backfill(
            view,
            first if start is None else parse_day(start, "--start"),
            last if end is None else parse_day(end, "--end"),
        )
    ]
