"""Flink's REST interface: jobs, savepoints, checkpoints."""

from __future__ import annotations

import json
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from headrace_features.embedded import Service, address_of
from headrace_schemas.errors import ConfigurationError, RetryableError
from headrace_schemas.setting_table import EMBEDDED

if TYPE_CHECKING:
    from headrace_schemas.settings import Settings

_TIMEOUT_S = 10.0
_SAVEPOINT_TIMEOUT_S = 300.0
_CANCEL_TIMEOUT_S = 60.0
_POLL_S = 0.2
_CAUSE = "Caused by: "
_SAYS_NOTHING = ("Internal server error.", "<Exception on server side:")
_SHOWN = 300
#: States of a job that will do nothing more.
ENDED = ("FINISHED", "CANCELED", "FAILED")


@dataclass(frozen=True, slots=True)
class Job:
    """A job as the cluster knows it."""

    job_id: str
    name: str
    state: str
    started_ms: int

    @property
    def ended(self) -> bool:
        """Whether it will do nothing more."""
        return self.state in ENDED


class Cluster:
    """A Flink cluster at a REST address."""

    def __init__(self, address: str) -> None:
        self.address = address

    @classmethod
    def of(cls, settings: Settings) -> Cluster:
        """The cluster that the settings name, or the embedded one.

        Raises:
            RetryableError: the embedded one is meant, and it doesn't run.
        """
        address = settings.flink.rest_address
        if address == EMBEDDED:
            address = address_of(settings.home, Service.JOBMANAGER)
        return cls(address)

    def all_jobs(self) -> list[Job]:
        """All jobs that the cluster knows, the newest first."""
        found = [
            Job(job["jid"], job["name"], job["state"], job["start-time"])
            for job in self._get("/jobs/overview")["jobs"]
        ]
        return sorted(found, key=lambda job: -job.started_ms)

    def jobs(self, name: str) -> list[Job]:
        """The jobs of a name, the newest first."""
        return [job for job in self.all_jobs() if job.name == name]

    def find(self, name: str) -> Job | None:
        """The job of a name that goes on; None where there is none."""
        return next((job for job in self.jobs(name) if not job.ended), None)

    def running(self, name: str) -> Job:
        """The job of a name that goes on.

        Raises:
            ConfigurationError: there is none.
        """
        job = self.find(name)
        if job is not None:
            return job
        raise ConfigurationError(
            f"no job {name} runs at {self.address}", hint="see: headrace stream status"
        )

    def works(self, job: Job) -> bool:
        """Whether all tasks of a job run."""
        tasks = self._get(f"/jobs/{job.job_id}")["vertices"]
        return bool(tasks) and all(task["status"] in {"RUNNING", "FINISHED"} for task in tasks)

    def checkpoints(self, job: Job) -> dict[str, Any]:
        """What the cluster tells about a job's checkpoints."""
        return self._get(f"/jobs/{job.job_id}/checkpoints")

    def state_bytes(self, job: Job) -> dict[str, int]:
        """What the newest checkpoint holds of each step of a job, in bytes, by the step's name."""
        steps = self._get(f"/jobs/{job.job_id}")["vertices"]
        number = self.checkpoints(job)["latest"]["completed"]["id"]
        held = self._get(f"/jobs/{job.job_id}/checkpoints/details/{number}")["tasks"]
        return {step["name"]: int(held[step["id"]]["state_size"]) for step in steps}

    def last_state(self, name: str) -> str | None:
        """Where the newest job of a name left its newest state; None where there is none."""
        for job in self.jobs(name):
            latest = self.checkpoints(job).get("latest", {})
            found = [one for kind in ("completed", "savepoint") if (one := latest.get(kind))]
            if found:
                newest = max(found, key=lambda one: int(one["latest_ack_timestamp"]))
                return str(newest["external_path"])
        return None

    def setting(self, name: str) -> str:
        """A value of the cluster's configuration; empty where it isn't set."""
        pairs: Any = self._get("/jobmanager/config")
        return next((str(pair["value"]) for pair in pairs if pair["key"] == name), "")

    def failure(self, job: Job) -> str | None:
        """The innermost cause of what made a job fail last; None where nothing did."""
        told = self._get(f"/jobs/{job.job_id}/exceptions")["exceptionHistory"]["entries"]
        return _innermost(told[0]["stacktrace"]) if told else None

    def savepoint(self, job: Job) -> str:
        """Write a savepoint while the job goes on; returns its path.

        What the job had decided up to it is committed by the next checkpoint, which is waited for:
        before that, a job that goes on from the savepoint could find its decisions aborted.

        Raises:
            RetryableError: the savepoint failed, or the job did before it was good.
        """
        restored = self.checkpoints(job)["counts"]["restored"]
        path = self._triggered(job, "savepoints", {"cancel-job": False})
        completed = self._completed(job)
        deadline = time.monotonic() + _SAVEPOINT_TIMEOUT_S
        while self._completed(job) == completed and time.monotonic() < deadline:
            time.sleep(_POLL_S)
        if (
            self._completed(job) == completed
            or self.checkpoints(job)["counts"]["restored"] != restored
        ):
            raise RetryableError(
                f"the job {job.name} failed before what it had decided was committed",
                hint="make another savepoint",
            )
        return path

    def _completed(self, job: Job) -> int:
        """The number of the newest checkpoint that is complete."""
        latest = self.checkpoints(job)["latest"]["completed"]
        return int(latest["id"]) if latest else 0

    def stop(self, job: Job) -> str:
        """End a job with a savepoint; returns its path."""
        return self._triggered(job, "stop", {"drain": False})

    def cancel(self, job: Job) -> None:
        """End a job as it is, and wait until it has ended.

        Raises:
            RetryableError: it goes on.
        """
        self._call("PATCH", f"/jobs/{job.job_id}?mode=cancel")
        deadline = time.monotonic() + _CANCEL_TIMEOUT_S
        while any(one.job_id == job.job_id and not one.ended for one in self.jobs(job.name)):
            if time.monotonic() > deadline:
                raise RetryableError(
                    f"the job {job.name} does not end within {_CANCEL_TIMEOUT_S:.0f} s",
                    hint=f"see http://{self.address}",
                )
            time.sleep(_POLL_S)

    def _triggered(self, job: Job, action: str, request: dict[str, Any]) -> str:
        trigger = self._call("POST", f"/jobs/{job.job_id}/{action}", request)["request-id"]
        deadline = time.monotonic() + _SAVEPOINT_TIMEOUT_S
        while time.monotonic() < deadline:
            status = self._get(f"/jobs/{job.job_id}/savepoints/{trigger}")
            if status["status"]["id"] == "COMPLETED":
                operation = status["operation"]
                if "location" in operation:
                    return str(operation["location"])
                cause = _innermost(operation["failure-cause"]["stack-trace"])
                raise RetryableError(f"the savepoint of {job.name} failed: {cause}")
            time.sleep(_POLL_S)
        raise RetryableError(
            f"the savepoint of {job.name} is not complete after {_SAVEPOINT_TIMEOUT_S:.0f} s"
        )

    def _get(self, path: str) -> dict[str, Any]:
        return self._call("GET", path)

    def _call(
        self, method: str, path: str, content: dict[str, Any] | None = None
    ) -> dict[str, Any]:
        request = urllib.request.Request(
            f"http://{self.address}{path}",
            None if content is None else json.dumps(content).encode(),
            {"Content-Type": "application/json"},
            method=method,
        )
        try:
            with urllib.request.urlopen(request, timeout=_TIMEOUT_S) as answer:  # noqa: S310 - as above
                told: dict[str, Any] = json.loads(answer.read() or b"{}")
        except urllib.error.HTTPError as error:
            said = refusal_of(error.read().decode(errors="replace"))
            raise ConfigurationError(f"Flink at {self.address} refuses {path}: {said}") from error
        except (OSError, ValueError) as error:
            raise RetryableError(
                f"no Flink cluster answers at {self.address}",
                hint="see [flink] rest_address; the embedded one: headrace status, headrace up",
            ) from error
        return told


def refusal_of(content: str) -> str:
    """What an answer of Flink's says is wrong, in one line: its errors may hold stack traces."""
    try:
        told = [str(error) for error in json.loads(content)["errors"]]
    except (ValueError, LookupError, TypeError):
        told = [content]
    lines = [line.strip() for error in told for line in error.splitlines()]
    # The first says that there is an error, the next that it is on the side of the server.
    telling = [one for one in lines if one and not one.startswith(_SAYS_NOTHING)] or [*lines, ""]
    return telling[0][:_SHOWN]


def _innermost(stack_trace: str) -> str:
    """The last cause that a stack trace of Java gives, in one line."""
    first, *lines = stack_trace.splitlines()
    # Indented are those of suppressed exceptions.
    causes = [line for line in lines if line.startswith(_CAUSE)]
    cause = causes[-1].removeprefix(_CAUSE) if causes else first
    # So are refusals of ours: the class says nothing that the sentence doesn't.
    return cause.removeprefix("java.lang.IllegalStateException: ")
