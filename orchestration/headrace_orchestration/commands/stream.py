"""`headrace stream`: the stream job of a project, on the embedded or a given cluster."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated

import typer

from headrace_orchestration.commands import stream_records
from headrace_orchestration.output import (
    JsonOption,
    console,
    print_fields,
    print_json,
    progress,
    status,
)
from headrace_orchestration.session import current_project, served_project

if TYPE_CHECKING:
    from headrace_features.project import Project
    from headrace_schemas.settings import Settings
    from headrace_streaming.job.config import LakeState

#: Stands for the state that the events in the lake make.
_LAKE = "lake"

app = typer.Typer(no_args_is_help=True, help="Deploy, look at and stop the stream job.")

ModeOption = Annotated[
    str | None,
    typer.Option(
        help="immediate: absorb events as they come; ordered: behind the watermark."
        " Default: stream.mode."
    ),
]
From = Annotated[
    str | None,
    typer.Option(
        "--from",
        help="A savepoint or checkpoint, or lake: the state that its events make."
        " Default: the newest state known.",
    ),
]
Fresh = Annotated[bool, typer.Option("--fresh", help="Begin without any state.")]
Bounded = Annotated[bool, typer.Option("--bounded", help="End at the newest records.")]
Parallelism = Annotated[
    int | None,
    typer.Option(min=1, help="Subtasks of each operator. Default: stream.parallelism."),
]

Backend = Annotated[
    str | None,
    typer.Option(
        "--state-backend",
        help="hashmap: on the heap; rocksdb: on disk. Default: stream.state_backend.",
    ),
]


@app.command()
def deploy(  # noqa: PLR0913, PLR0917 - one for each option
    mode: ModeOption = None,
    from_state: From = None,
    fresh: Fresh = False,
    bounded: Bounded = False,
    parallelism: Parallelism = None,
    state_backend: Backend = None,
    as_json: JsonOption = False,
) -> None:
    """Deploy the project's views and rules as a Flink job, going on from its last state."""
    from headrace_features.online.live import keep_definitions
    from headrace_orchestration.lake_records import also_in_files
    from headrace_orchestration.versions.promotion import deploy_beside
    from headrace_orchestration.writing import renew_writer
    from headrace_schemas.errors import ConfigurationError
    from headrace_streaming.job import deployment
    from headrace_streaming.job.config import Mode, StateBackend

    if mode is not None and mode not in list(Mode):
        raise ConfigurationError.unknown("mode", mode, list(Mode))
    if state_backend is not None and state_backend not in list(StateBackend):
        raise ConfigurationError.unknown("state backend", state_backend, list(StateBackend))
    if fresh and from_state is not None:
        raise typer.BadParameter("a state to go on from and --fresh exclude each other")
    settings, project = served_project()
    lake = None
    if from_state == _LAKE:
        from_state, lake = _from_lake(settings, project, quiet=as_json)
    with status("headrace stream deploy"):
        deployed = deployment.deploy(
            settings,
            project,
            os.environ,
            mode=Mode(mode) if mode else None,
            state=from_state,
            fresh=fresh,
            bounded=bounded,
            parallelism=parallelism,
            lake=lake,
            also_in_files=lambda: also_in_files(settings, project),
            state_backend=StateBackend(state_backend) if state_backend else None,
        )
    keep_definitions(settings, project)
    with status("headrace stream deploy") as news:
        deploy_beside(settings, current_project()[1], os.environ, news)
    renew_writer(settings, project)
    if as_json:
        print_json(deployed)
        return
    went_on = deployed.restored_from or "no earlier state"
    told = f"{deployed.job.name} runs as {deployed.job.job_id}, from {went_on}"
    console().print(told, soft_wrap=True)
    if deployed.begun:
        console().print(
            f"{', '.join(deployed.begun)} as declared now began with this deployment: features"
            " online are incomplete as far as the stream has to look back at what was before; to"
            " begin with the lake: headrace stream stop, then headrace stream deploy --from lake",
            soft_wrap=True,
        )
    if deployed.also_in_files:
        console().print(
            f"the lake has events of {', '.join(deployed.also_in_files)} that never were in Kafka:"
            " features online are incomplete as far as the stream alone has to look back at them;"
            " to begin with them: headrace stream stop, then headrace ingest --from-kafka and"
            " headrace stream deploy --from lake",
            soft_wrap=True,
        )


def _from_lake(settings: Settings, project: Project, *, quiet: bool) -> tuple[str, LakeState]:
    """A savepoint that the events in the lake make, and what it has."""
    from headrace_orchestration.lake_records import lake_records
    from headrace_streaming.job.bootstrap import bootstrap, require_present
    from headrace_streaming.kafka.clients import kafka_config

    with status("read the lake"):
        lake = lake_records(settings, project)
    require_present(kafka_config(settings), project, lake.state.starts)
    with progress("make the state", quiet=quiet) as advance:
        path, history = bootstrap(settings, project, os.environ, lake.records, advance)
    return path, replace(lake.state, history=history)


@app.command("status")
def show(as_json: JsonOption = False) -> None:
    """Tell what the jobs of this project do: how far they are, and how their checkpoints are."""
    from headrace_schemas.errors import ConfigurationError
    from headrace_streaming.job.deployment import newest_state
    from headrace_streaming.job.report import reports

    settings, project = served_project()
    found = reports(settings, project)
    if as_json:
        print_json(found)
        return
    for number, report in enumerate(found):
        if number:
            console().print()
        if number == 0 or not report.ended:
            print_fields(report)
        else:
            told = f"{report.state.lower()} before: job {report.job}"
            console().print(told if report.failure is None else f"{told}; {report.failure}")
    if all(report.ended for report in found):
        try:
            state = newest_state(settings, project)
        except ConfigurationError as error:
            goes_on = f"; {error}"
        else:
            goes_on = "" if state is None else f", which goes on from {state}"
        told = f"no job of this project runs; run: headrace stream deploy{goes_on}"
        console().print(told, soft_wrap=True)


@app.command()
def savepoint(as_json: JsonOption = False) -> None:
    """Write a savepoint while the job goes on."""
    from headrace_streaming.job.assembly import job_name
    from headrace_streaming.job.cluster import Cluster

    settings, project = served_project()
    cluster = Cluster.of(settings)
    with status("headrace stream savepoint"):
        path = cluster.savepoint(cluster.running(job_name(project.full_name)))
    if as_json:
        print_json({"savepoint": path})
    else:
        console().print(path, soft_wrap=True)


@app.command()
def stop(as_json: JsonOption = False) -> None:
    """Stop the job with a savepoint, from which the next deploy goes on."""
    from headrace_streaming.job import deployment

    settings, project = served_project()
    with status("headrace stream stop"):
        path = deployment.stop(settings, project)
    if as_json:
        print_json({"savepoint": path})
    else:
        console().print(f"stopped; the next deploy goes on from {path}", soft_wrap=True)


app.command("decisions")(stream_records.decisions)
app.command("alerts")(stream_records.alerts)
