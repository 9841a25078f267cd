"""Submits a job by Flink's own command and waits until all of it runs."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from headrace_schemas.errors import ConfigurationError, RetryableError
from headrace_streaming.job.cluster import Cluster, Job
from headrace_streaming.services import flink

if TYPE_CHECKING:
    from headrace_schemas.settings import Settings

SCRIPT = Path(__file__).with_name("stream.py")
_SUBMITTED = re.compile(r"submitted with JobID ([0-9a-f]{32})")
_START_TIMEOUT_S = 120.0
_POLL_S = 0.2


def submit(  # noqa: PLR0913, PLR0917 - what a job is
    settings: Settings,
    environ: Mapping[str, str],
    cluster: Cluster,
    name: str,
    arguments: Sequence[str],
    flink_options: Sequence[str] = (),
) -> Job:
    """Submit a job and wait until it runs.

    Args:
        settings: where the command keeps its files.
        environ: the variables for Flink's command.
        cluster: where the job is to run.
        name: that the job will have.
        arguments: of the script of the job.
        flink_options: of `flink run`.

    Raises:
        ConfigurationError: the job can't be assembled, or ends at once.
        RetryableError: it doesn't come to run.
    """
    command = [
        *("bash", str(flink.distribution() / "bin" / "flink"), "run", "--detached"),
        *("--jobmanager", cluster.address),
        *flink_options,
        *("--pyClientExecutable", sys.executable, "--pyExecutable", sys.executable),
        *("--python", str(SCRIPT)),
        *arguments,
    ]
    return _started(cluster, name, _run(command, settings, environ))


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
