"""`headrace backfill`: the history of a view, written to its feature table."""

from __future__ import annotations

from typing import Annotated

import typer

from headrace_orchestration.output import JsonOption, console, print_json, print_table, progress
from headrace_orchestration.session import current_project
from headrace_schemas.days import parse_day

Views = Annotated[
    list[str] | None, typer.Option("--view", help="A view; again for more. Default: all.")
]
Start = Annotated[str | None, typer.Option(help="First day, UTC. Default: the first with events.")]
End = Annotated[str | None, typer.Option(help="Last day, UTC. Default: the last with events.")]
EngineName = Annotated[
    str | None, typer.Option("--engine", help="local or spark. Default: as the settings say.")
]


def backfill(
    view: Views = None,
    start: Start = None,
    end: End = None,
    engine: EngineName = None,
    as_json: JsonOption = False,
) -> None:
    """Write point-in-time values for every event of some days, in place of what was there."""
    from headrace_batch.days import days_with_events
    from headrace_features.engines import load_engine

    settings, project = current_project()
    views = [project.view(name) for name in view] if view else list(project.views.values())
    runner = load_engine(engine or settings.engine.default, settings)
    reports = []
    for declared in views:
        first, last = days_with_events(settings, declared.source)
        with progress(f"backfill {declared.name}", quiet=as_json):
            reports.append(
                runner.backfill(
                    declared,
                    first if start is None else parse_day(start, "--start"),
                    last if end is None else parse_day(end, "--end"),
                )
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
