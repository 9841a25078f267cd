"""Deploys a project's stream job by Flink's own command."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from headrace_schemas.errors import ConfigurationError, RetryableError
from headrace_streaming.job.assembly import job_name
from headrace_streaming.job.cluster import Cluster, Job
from headrace_streaming.job.config import Mode, StateBackend
from headrace_streaming.job.last_state import LastState, recall, remember, require_state
from headrace_streaming.job.options import checkpoint_directory, job_config
from headrace_streaming.kafka.clients import kafka_config
from headrace_streaming.kafka.topics import create_topics, topics_of
from headrace_streaming.services import flink

if TYPE_CHECKING:
    from headrace_features.project import Project
    from headrace_schemas.settings import Settings

SCRIPT = Path(__file__).with_name("stream.py")
_SUBMITTED = re.compile(r"submitted with JobID ([0-9a-f]{32})")
_START_TIMEOUT_S = 120.0
_POLL_S = 0.2


@dataclass(frozen=True, slots=True)
class Deployment:
    """A job that was just deployed, and the state it went on from, if any."""

    job: Job
    restored_from: str | None


def deploy(  # noqa: PLR0913 - one for each choice
    settings: Settings,
    project: Project,
    environ: Mapping[str, str],
    *,
    mode: Mode | None = None,
    state: str | None = None,
    fresh: bool = False,
    bounded: bool = False,
    parallelism: int | None = None,
    state_backend: StateBackend | None = None,
) -> Deployment:
    """Deploy the job of a project and wait until it runs.

    Args:
        settings: which cluster, which broker.
        project: whose views and decisions.
        environ: the variables for Flink's command.
        mode: when events are absorbed, if not as the settings say.
        state: a savepoint or checkpoint to go on from; None is the newest that is known.
        fresh: begin without any state.
        bounded: end at the newest records of the start.
        parallelism: how many subtasks each operator has, if not as the settings say.
        state_backend: where state is kept, if not as the settings say.

    Raises:
        ConfigurationError: the job runs already, can't be assembled, or its state is missing or of
            other definitions; or a topic has another number of partitions.
        RetryableError: cluster or broker don't answer.
    """
    # What is wrong with the settings is told before a JVM is started for them.
    job_config(settings, {}, 0)
    cluster = Cluster.of(settings)
    name = job_name(project.name)
    for job in cluster.jobs(name):
        if not job.ended:
            raise ConfigurationError(
                f"the job {name} runs already, as {job.job_id}",
                hint="stop it first: headrace stream stop",
            )
    # What the script would stumble over in a JVM of its own is told here in one line.
    create_topics(kafka_config(settings), topics_of(project))
    known = recall(settings.home, project.name)
    newest = cluster.last_state(name) or (known.path() if known else None)
    restored = None if fresh else state or newest
    if restored is not None:
        require_state(restored)
    command = [
        *("bash", str(flink.distribution() / "bin" / "flink"), "run", "--detached"),
        *("--jobmanager", cluster.address),
        *(("--fromSavepoint", restored) if restored else ()),
        *("--pyClientExecutable", sys.executable, "--pyExecutable", sys.executable),
        *("--python", str(SCRIPT)),
        *(("--mode", mode) if mode else ()),
        *(("--parallelism", str(parallelism)) if parallelism else ()),
        *(("--bounded",) if bounded else ()),
        *(("--state-backend", state_backend) if state_backend else ()),
    ]
    submitted = _run(command, settings, environ)
    job = _started(cluster, name, submitted)
    remember(settings.home, project.name, LastState(job.job_id, _checkpoints(settings, cluster)))
    return Deployment(job, restored)


def stop(settings: Settings, project: Project) -> str:
    """Stop a project's job with a savepoint, from which the next deployment goes on.

    Returns:
        The path of the savepoint.

    Raises:
        ConfigurationError: the job doesn't run.
        RetryableError: the cluster doesn't answer, or the savepoint failed.
    """
    cluster = Cluster.of(settings)
    job = cluster.running(job_name(project.name))
    path = cluster.stop(job)
    left = LastState(job.job_id, _checkpoints(settings, cluster), path)
    remember(settings.home, project.name, left)
    return path


def _checkpoints(settings: Settings, cluster: Cluster) -> str:
    return checkpoint_directory(settings) or cluster.setting("execution.checkpointing.dir")


def _run(command: list[str], settings: Settings, environ: Mapping[str, str]) -> str:
    done = subprocess.run(  # noqa: S603 - Flink's command
        command,
        env=flink.environment(settings.home / "flink", environ),
        capture_output=True,
        text=True,
        check=False,
    )
    found = _SUBMITTED.search(done.stdout)
    if found is None:
        raise ConfigurationError(
            f"the job was not deployed: {_reason(done.stdout + done.stderr)}",
            hint=f"the whole story: flink run --python {SCRIPT}",
        )
    return found[1]


def _reason(said: str) -> str:
    """The line that tells most: the last error of Python, else the last cause that Java gives."""
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    for mark in ("headrace_schemas.errors.", "Error: ", "Caused by: "):
        told = [line for line in lines if mark in line and not line.startswith("at ")]
        if told:
            return told[-1].removeprefix("Caused by: ").removeprefix("headrace_schemas.errors.")
    return lines[-1] if lines else "Flink said nothing"


def _started(cluster: Cluster, name: str, job_id: str) -> Job:
    """The job, once all of its tasks run: before that, the state may turn out not to fit."""
    deadline = time.monotonic() + _START_TIMEOUT_S
    job = None
    while time.monotonic() < deadline:
        job = next((one for one in cluster.jobs(name) if one.job_id == job_id), None)
        if job is not None and (job.state == "FINISHED" or cluster.works(job)):
            return job
        # The cluster tells that it failed a moment before it tells why.
        if job is not None and job.ended and (failure := cluster.failure(job)):
            raise ConfigurationError(f"the job {name} failed: {failure}")
        time.sleep(_POLL_S)
    failure = cluster.failure(job) if job is not None else None
    raise RetryableError(
        f"the job {name} does not run after {_START_TIMEOUT_S:.0f} s: {failure or 'no failure'}",
        hint=f"see http://{cluster.address}",
    )
