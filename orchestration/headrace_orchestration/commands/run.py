"""`headrace run`: what is done every day, without a scheduler of its own."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from headrace_orchestration.output import (
    JsonOption,
    console,
    print_json,
    print_table,
    say,
    status,
)
from headrace_orchestration.session import current_project, note_built_in

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from headrace_features.project import Project
    from headrace_orchestration.runs.graph import Graph
    from headrace_orchestration.runs.running import Done
    from headrace_schemas.settings import Settings

app = typer.Typer(
    no_args_is_help=True, help="Do what is due every day, or see what that is; for cron."
)

Date = Annotated[
    str | None,
    typer.Option("--date", help="A day that is over, UTC."),
]


@app.command()
def daily(date: Date = None, as_json: JsonOption = False) -> None:
    """Take in the events of a day and bring history and online values up to its end.

    The same steps as Airflow's, one after the other. Without a date these are all days that
    history or online values don't have yet, up to the newest that is over. Ends at the first step
    that fails, with its line and its status: 75 may work later. It may be run again at any time,
    and goes on.
    """
    from headrace_orchestration.runs.daily import DAILY
    from headrace_orchestration.runs.due import days_due

    _run("daily", DAILY, date, days_due, as_json=as_json)


@app.command()
def training(date: Date = None, as_json: JsonOption = False) -> None:
    """Make the declared training sets as of the end of a day, and publish their shards.

    The same steps as Airflow's, one after the other. Without a date that is the newest day that is
    over. Ends at the first step that fails, with its line and its status: 75 may work later. It may
    be run again at any time.
    """
    from headrace_orchestration.runs.training import TRAINING

    _run("training", TRAINING, date, lambda _, __, newest: [newest], as_json=as_json)


def _run(
    command: str,
    name: str,
    date: str | None,
    due: Callable[[Settings, Project, dt.date], list[dt.date]],
    *,
    as_json: bool,
) -> None:
    """Do what a run does for one day, or for those that are due."""
    from headrace_features.exclusive import exclusive
    from headrace_orchestration.runs.declared import runs_of
    from headrace_schemas.days import newest_ended_day, parse_ended_day
    from headrace_schemas.errors import ConfigurationError, RetryableError

    settings, project = current_project()
    now = datetime.now(UTC)
    asked = None if date is None else parse_ended_day(date, "--date", now)
    if not as_json:
        note_built_in(settings)
    graph = next((one for one in runs_of(settings, project) if one.name == name), None)
    if graph is None:
        raise ConfigurationError(
            "no training set is declared", hint="see TrainingSet in the README"
        )
    taken = RetryableError(
        f"another headrace run {command} is at work in {settings.home}", hint="run it again later"
    )
    with exclusive(settings.home / f"{name}.lock", taken):
        days = [asked] if asked else due(settings, project, newest_ended_day(now))
        done = []
        for day in days:
            if asked is None and not as_json:
                say(f"headrace run {command} --date {day}")
            done.append(_of_day(command, graph, day, settings.home / "logs", as_json=as_json))
            if done[-1].failed is not None:
                break
    if as_json:
        print_json({"run": name, "days": done})
    failed = done[-1].failed
    if failed is not None:
        told = failed.told.removeprefix("headrace: ")
        say(f"headrace: {failed.task}: {told}; see {done[-1].log}")
        raise typer.Exit(failed.status)


@dataclass(frozen=True, slots=True)
class _DayDone:
    """What was done for a day."""

    date: dt.date
    log: Path
    tasks: list[Done]

    @property
    def failed(self) -> Done | None:
        """The task that failed, which is the last one."""
        return self.tasks[-1] if self.tasks[-1].status else None


def _of_day(command: str, graph: Graph, day: dt.date, logs: Path, *, as_json: bool) -> _DayDone:
    from headrace_orchestration.runs.running import done_one_by_one

    log = logs / f"{graph.name}-{day}.log"
    done: list[Done] = []
    with status(f"headrace run {command} {day}") as told:
        for one in done_one_by_one(graph, day, log, lambda task: told(task.name)):
            done.append(one)
            if not as_json and not one.status:
                aside = f": {_in_quarantine(one)}" if one.set_aside else ""
                ignored = ", ".join(one.ignored_columns)
                without = f"; ignored columns: {ignored}" if ignored else ""
                say(f"✓ {one.task} ({one.seconds:.1f} s){aside}{without}")
    if not as_json:
        _tell_set_aside(done)
    return _DayDone(day, log, done)


def _tell_set_aside(done: Iterable[Done]) -> None:
    """Say once more of which events rows were not taken in."""
    for one in done:
        if one.set_aside:
            source = one.task.removeprefix("ingest_")
            say(f"{source}: {_in_quarantine(one)}; see headrace quarantine list {source}")


def _in_quarantine(done: Done) -> str:
    """How many rows of some events were not taken in, and why."""
    from headrace_schemas.counted import counted

    reasons = ", ".join(f"{reason} {number:,}" for reason, number in done.set_aside.items())
    rows = counted(sum(done.set_aside.values()), "row")
    since = f"; of all that topic {done.topic} has brought since the ingest before"
    told = f"by first reason: {reasons}{since if done.topic else ''}"
    return f"{rows} rejected into quarantine ({told})"


@app.command("list")
def show(as_json: JsonOption = False) -> None:
    """List the runs and their tasks; as JSON all that a scheduler needs."""
    from headrace_orchestration.runs.declared import runs_of
    from headrace_orchestration.runs.document import dags_folder, document_of

    settings, project = current_project()
    if as_json:
        print_json(document_of(settings, project))
        return
    for graph in runs_of(settings, project):
        print_table(
            f"{graph.name}: {graph.tells}",
            ("task", "after", "command"),
            [
                (task.name, ", ".join(task.after), " ".join(("headrace", *task.command)))
                if task.command
                else (task.name, ", ".join(task.after), task.tells)
                for task in graph.tasks
            ],
        )
    console().print("each is a command of its own; headrace run daily does those of a day")
    console().print(f"for Airflow these are DAGs, in {dags_folder()}", soft_wrap=True)
