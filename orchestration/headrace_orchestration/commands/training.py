"""`headrace training`: the steps of a declared training set, as of a day."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from headrace_orchestration.commands.backfill import EngineName
from headrace_orchestration.commands.stage import show_staged, warn_of
from headrace_orchestration.output import (
    JsonOption,
    console,
    print_json,
    print_table,
    progress,
    status,
)
from headrace_orchestration.session import current_project

if TYPE_CHECKING:
    from datetime import date as Day  # noqa: N812 - as an option is called date

app = typer.Typer(
    no_args_is_help=True,
    help="Make a declared training set, step by step: spine, features, shards.",
)

Name = Annotated[str, typer.Argument(help="The training set.", show_default=False)]
Date = Annotated[
    str, typer.Option("--date", help="A day that is over, UTC: labels known by its end count.")
]

OverNewer = Annotated[
    bool, typer.Option("--over-newer", help="Also in place of the set of a later day.")
]


@app.command()
def spine(name: Name, date: Date, as_json: JsonOption = False) -> None:
    """Find the events that are labelled by the end of a day.

    Ends with the status 75 while events or labels of the last day haven't come.
    """
    from headrace_batch.staging.declared_spine import write_spine

    settings, project = current_project()
    declared = project.training_set(name)
    with progress(f"spine {name}", quiet=as_json):
        report = write_spine(settings, project, declared, _day(date))
    if as_json:
        print_json(report)
        return
    console().print(
        f"{report.table}: {report.rows:,} events of {report.first} to {report.last};"
        f" {report.unlabelled:,} have no label",
        soft_wrap=True,
    )
    if report.known_before:
        console().print(
            f"{report.known_before:,} more are left out: their label is said to have been known"
            " before they happened",
            soft_wrap=True,
        )


@app.command()
def features(
    name: Name, date: Date, engine: EngineName = None, as_json: JsonOption = False
) -> None:
    """Give the rows of the spine the features of their time, in a table."""
    from headrace_batch.staging.declared import write_set

    settings, project = current_project()
    declared = project.training_set(name)
    with progress(f"features {name}", quiet=as_json):
        report = write_set(settings, declared, _day(date), engine or settings.engine.default)
    if as_json:
        print_json(report)
        return
    console().print(
        f"{report.table}: {report.rows:,} rows with features in {report.seconds:.1f} s",
        soft_wrap=True,
    )


@app.command()
def shards(
    name: Name,
    date: Date,
    engine: EngineName = None,
    over_newer: OverNewer = False,
    as_json: JsonOption = False,
) -> None:
    """Write the shards of the set, verify them and publish them.

    Not if its newest day fails its gate, nor in place of the set of a later day.
    """
    from headrace_batch.staging.declared import stage_set

    settings, project = current_project()
    declared = project.training_set(name)
    with status(f"shards {name}") as tell:
        report = stage_set(
            settings,
            project,
            declared,
            _day(date),
            engine or settings.engine.default,
            tell,
            over_newer=over_newer,
        )
    warn_of(report)
    if as_json:
        print_json(report)
        return
    show_staged(report)


@app.command("list")
def show(as_json: JsonOption = False) -> None:
    """List the declared training sets, and where their shards are."""
    from headrace_batch.staging.places import place_of

    settings, project = current_project()
    declared = project.training_sets.values()
    if as_json:
        print_json(
            [
                {
                    "name": one.name,
                    "service": one.service.name,
                    "events": one.events.name,
                    "label": one.label,
                    "days": one.days,
                    "out": place_of(settings, one.name),
                }
                for one in declared
            ]
        )
        return
    print_table(
        None,
        ("training set", "service", "a row is an event of", "label", "days", "shards"),
        [
            (
                one.name,
                one.service.name,
                one.events.name,
                ", ".join(one.label),
                one.days,
                place_of(settings, one.name),
            )
            for one in declared
        ],
    )


def _day(text: str) -> Day:
    from datetime import UTC, datetime

    from headrace_schemas.days import parse_ended_day

    return parse_ended_day(text, "--date", datetime.now(UTC))
