"""How a project's jobs are doing: what the cluster and the broker tell of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from headrace_schemas.errors import ConfigurationError, RetryableError
from headrace_streaming.job.assembly import consumer_group, job_name
from headrace_streaming.job.cluster import ENDED, Cluster, Job
from headrace_streaming.kafka.clients import kafka_config
from headrace_streaming.kafka.epochs import Deployed, deployments
from headrace_streaming.kafka.reading import ends, reached

if TYPE_CHECKING:
    from headrace_features.project import Project
    from headrace_schemas.settings import Settings


@dataclass(frozen=True, slots=True)
class JobReport:
    """One job.

    Attributes:
        job: its id in the cluster.
        state: as Flink calls it.
        mode: immediate or ordered; None where the broker doesn't tell, or of jobs that ended.
        epoch: the number of the deployment, likewise.
        lag: how many records of its sources came since its newest checkpoint, likewise; None before
            the first.
        checkpoints: how many were completed.
        checkpoint_bytes: what the newest of them holds; None before the first.
        failed_checkpoints: how many have failed since.
        restored: how often it went on from a checkpoint.
        failure: what made it fail last.
    """

    job: str
    state: str
    mode: str | None
    epoch: int | None
    lag: int | None
    checkpoints: int
    checkpoint_bytes: int | None
    failed_checkpoints: int
    restored: int
    failure: str | None

    @property
    def ended(self) -> bool:
        """Whether it will do nothing more."""
        return self.state in ENDED


def reports(settings: Settings, project: Project) -> list[JobReport]:
    """The jobs of a project that the cluster knows, the newest first.

    Raises:
        RetryableError: the cluster doesn't answer.
    """
    cluster = Cluster.of(settings)
    jobs = cluster.jobs(job_name(project.full_name))
    try:
        kafka = kafka_config(settings)
    except RetryableError:
        # The embedded broker is down: that is when one wants to know how the job is.
        kafka = None
    return [
        _report(cluster, job, kafka if number == 0 and not job.ended else None, project)
        for number, job in enumerate(jobs)
    ]


def _report(
    cluster: Cluster, job: Job, kafka: Mapping[str, str] | None, project: Project
) -> JobReport:
    told = cluster.checkpoints(job)
    counts: Mapping[str, int] = told.get("counts") or {}
    completed: Mapping[str, Any] = (told.get("latest") or {}).get("completed") or {}
    # Before all its tasks run, a job fails a few checkpoints: they say nothing once one is whole.
    failed = counts.get("failed", 0)
    if completed:
        history = told.get("history") or ()
        failed = sum(one["status"] == "FAILED" and one["id"] > completed["id"] for one in history)
    deployed = None if kafka is None else _deployed(kafka, project)
    return JobReport(
        job=job.job_id,
        state=job.state,
        mode=None if deployed is None else deployed.told.mode,
        epoch=None if deployed is None else deployed.epoch,
        lag=None if kafka is None or deployed is None else _lag(kafka, project, deployed),
        checkpoints=counts.get("completed", 0),
        checkpoint_bytes=completed.get("state_size"),
        failed_checkpoints=failed,
        restored=counts.get("restored", 0),
        failure=cluster.failure(job),
    )


def _deployed(kafka: Mapping[str, str], project: Project) -> Deployed | None:
    """The newest deployment; None where the broker doesn't tell."""
    try:
        return next(reversed(deployments(kafka, project.name, project.namespace)), None)
    except (ConfigurationError, RetryableError):
        return None


def _lag(kafka: Mapping[str, str], project: Project, deployed: Deployed) -> int | None:
    group = consumer_group(project.full_name, deployed.epoch)
    lag = 0
    told = False
    try:
        for topic in project.topics:
            done = reached(kafka, group, topic)
            told = told or bool(done)
            lag += sum(
                end - max(done.get(number, first), first)
                for number, (first, end) in ends(kafka, topic).items()
            )
    except (ConfigurationError, RetryableError):
        return None
    return lag if told else None
