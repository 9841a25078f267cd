"""`headrace replay`: another version of a view, made beside the one that is served."""

from __future__ import annotations

import os
from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer

from headrace_orchestration.output import (
    JsonOption,
    console,
    print_json,
    progress,
    say,
    status,
)
from headrace_orchestration.session import current_project

if TYPE_CHECKING:
    from headrace_features.project import Project
    from headrace_orchestration.versions.replaying import Progress
    from headrace_schemas.settings import Settings

View = Annotated[str, typer.Argument(help="The view.")]
ToVersion = Annotated[int, typer.Option("--to-version", min=1, help="The version, as declared.")]
From = Annotated[
    str,
    typer.Option(
        "--from",
        help="earliest: all that the topics have, and the lake before it where the broker has"
        " deleted some; lake: the lake first; or a time, such as 2026-11-01T00:00:00Z.",
    ),
]
Detach = Annotated[bool, typer.Option("--detach", help="Return as soon as the job runs.")]


def replay(
    view: View,
    to_version: ToVersion,
    since: From = "earliest",
    detach: Detach = False,
    as_json: JsonOption = False,
) -> None:
    """Make another version of a view beside the one that is served, of the same events.

    Views of mode lambda get their batch layers as well, of what the lake has. Its job goes on with
    what comes, and alerts nobody, until it is promoted or dropped. A replay that was interrupted
    goes on with the same command.
    """
    from headrace_orchestration.versions.replaying import EARLIEST, LAKE

    settings, project = current_project()
    begins = since if since in {EARLIEST, LAKE} else _time_ms(since)
    made = begin(settings, project, view, to_version, begins)
    done = None if detach else finish(settings, made, view, quiet=as_json)
    if as_json:
        print_json({"namespace": made.namespace, "records": None if done is None else done.done})
        return
    if done is None:
        console().print(f"{made.namespace} is made; the same command waits for it", soft_wrap=True)
        return
    console().print(
        f"{made.namespace} has taken in {done.done:,} records and goes on with what comes; compare"
        f" it: headrace parity {view} --versions …,{to_version}; serve it:"
        f" headrace promote {view} --version {to_version}",
        soft_wrap=True,
    )


def begin(
    settings: Settings, project: Project, view: str, version: int, since: str | int
) -> Project:
    """Have a version made beside the one that is served; the project in its namespace.

    Raises:
        ConfigurationError: the version isn't declared, is served already, or nothing is deployed.
        RetryableError: something doesn't answer.
    """
    from headrace_orchestration.versions.replaying import begin_replay
    from headrace_orchestration.writing import renew_writer

    with status(f"headrace replay {view}"):
        made = begin_replay(settings, project, view, version, os.environ, since, say)
    renew_writer(settings, project)
    return made


def finish(settings: Settings, made: Project, view: str, *, quiet: bool) -> Progress:
    """Wait until a version that is being made has what there is, online and by batch.

    Raises:
        RetryableError: something doesn't answer; the same command goes on.
    """
    from headrace_orchestration.batch_layers import write_all_layers
    from headrace_orchestration.versions.replaying import await_online, follow, settle

    with status(f"headrace replay {view}") as told:
        done = follow(settings, made, lambda one: told(_spelled(one)))
        told("go on with what comes")
        settle(settings, made, os.environ)
        follow(settings, made, lambda one: told(_spelled(one)))
        await_online(settings, made, told)
    # What the lake alone has, and what had come too late for the stream.
    write_all_layers(settings, made, partial(progress, quiet=quiet))
    return done


def _time_ms(text: str) -> int:
    from headrace_features.online.query_times import moment_ms
    from headrace_schemas.errors import ConfigurationError

    time_ms = moment_ms(text)
    if time_ms is None:
        raise ConfigurationError(
            f"--from {text}: expected earliest, lake or a time",
            hint="such as 2026-11-01 or 2026-11-01T06:00:00Z",
        )
    return time_ms


def _spelled(progress: Progress) -> str:
    whole = progress.done + progress.left
    share = 100 * progress.done / whole if whole else 100.0
    left_s = progress.remaining_s
    remaining = "" if left_s is None else f", about {left_s:,.0f} s left"
    done = f"{progress.done:,} of {whole:,} records ({share:.0f} %)"
    return f"{done}, {progress.rate:,.0f} a second{remaining}"
