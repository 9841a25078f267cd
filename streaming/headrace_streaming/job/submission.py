"""Submits a job by Flink's own command and waits until all of it runs."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from headrace_schemas.errors import ConfigurationError, HeadraceError, RetryableError
from headrace_streaming.job.cluster import Cluster, Job
from headrace_streaming.services import flink

if TYPE_CHECKING:
    from headrace_schemas.settings import Settings

SCRIPT = Path(__file__).with_name("stream.py")
_SUBMITTED = re.compile(r"submitted with JobID ([0-9a-f]{32})")
#: How an error of ours ends the script.
_OURS = "headrace_schemas.errors."
_SUBMIT_TIMEOUT_S = 300.0
_START_TIMEOUT_S = 120.0
_POLL_S = 0.2


class JobEndedError(ConfigurationError):
    """A job has ended before all of it ran."""


def submit(  # noqa: PLR0913 - what it needs
    settings: Settings,
    environ: Mapping[str, str],
    cluster: Cluster,
    arguments: Sequence[str],
    flink_options: Sequence[str] = (),
    *,
    held: int | None = None,
) -> str:
    """Submit a job; returns its id, before it is known whether it comes to run.

    Args:
        settings: where the command keeps its files.
        environ: the variables for Flink's command.
        cluster: where the job is to run.
        arguments: of the script of the job.
        flink_options: of `flink run`.
        held: an open file with a lock, which is held until Flink's command has ended, too.

    Raises:
        ConfigurationError: the job can't be assembled.
        RetryableError: what it needs doesn't answer.
    """
    command = [
        *("bash", str(flink.distribution() / "bin" / "flink"), "run", "--detached"),
        *("--jobmanager", cluster.address),
        *flink_options,
        *("--pyClientExecutable", sys.executable, "--pyExecutable", sys.executable),
        *("--python", str(SCRIPT)),
        *arguments,
    ]
    said = _run(command, flink.environment(settings.home / "flink", environ), held)
    found = _SUBMITTED.search(said)
    if found is None:
        raise _refusal(said)
    return found[1]


def _run(
    command: Sequence[str],
    environ: Mapping[str, str],
    held: int | None = None,
    patience_s: float = _SUBMIT_TIMEOUT_S,
) -> str:
    """What a command says; neither it nor what it started outlives this, but if this is killed."""
    # Its own session: it starts others, which hold its output open after it was ended alone.
    with subprocess.Popen(  # noqa: S603 - Flink's command
        command,
        env=environ,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        pass_fds=() if held is None else (held,),
    ) as client:
        try:
            return "".join(client.communicate(timeout=patience_s))
        except BaseException as error:
            with suppress(ProcessLookupError):
                os.killpg(client.pid, signal.SIGKILL)
            if not isinstance(error, subprocess.TimeoutExpired):
                raise
            raise RetryableError(
                f"Flink's command has not submitted the job after {patience_s:.0f} s",
                hint="does the cluster still answer? see headrace stream status",
            ) from error


def _refusal(said: str) -> HeadraceError:
    """The error with which the script ended, of the kind that it had there."""
    kind, _, told = (reason := _reason(said)).partition(": ")
    if kind == RetryableError.__name__:
        return RetryableError(f"the job was not deployed: {told}")
    return ConfigurationError(
        f"the job was not deployed: {told if kind == ConfigurationError.__name__ else reason}",
        hint=f"the whole story: flink run --python {SCRIPT}",
    )


def _reason(said: str) -> str:
    """The line that tells most: the last error of Python, else the last cause that Java gives."""
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    for mark in (_OURS, "Error: ", "Caused by: "):
        told = [line for line in lines if mark in line and not line.startswith("at ")]
        if told:
            return told[-1].removeprefix("Caused by: ").removeprefix(_OURS)
    return lines[-1] if lines else "Flink said nothing"


def started(cluster: Cluster, name: str, job_id: str) -> Job:
    """A job that was submitted, once all of its tasks run.

    Before that, its state may turn out not to fit.

    Raises:
        JobEndedError: it has ended.
        RetryableError: it doesn't come to run in time; it may yet.
    """
    deadline = time.monotonic() + _START_TIMEOUT_S
    job = None
    while time.monotonic() < deadline:
        job = next((one for one in cluster.jobs(name) if one.job_id == job_id), None)
        if job is not None and (job.state == "FINISHED" or cluster.works(job)):
            return job
        # The cluster tells that it failed a moment before it tells why.
        if job is not None and job.ended and (failure := cluster.failure(job)):
            raise JobEndedError(f"the job {name} failed: {failure}")
        time.sleep(_POLL_S)
    failure = cluster.failure(job) if job is not None else None
    raise RetryableError(
        f"the job {name} does not run after {_START_TIMEOUT_S:.0f} s: {failure or 'no failure'}",
        hint=f"see http://{cluster.address}",
    )
