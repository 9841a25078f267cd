"""Deploys a project's stream job by Flink's own command."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec

from headrace_features.exclusive import exclusive
from headrace_features.online.served import view_key
from headrace_features.portable_project import portable_project
from headrace_schemas.errors import ConfigurationError, RetryableError
from headrace_streaming.job.assembly import history_job_name, job_name
from headrace_streaming.job.cluster import Cluster, Job
from headrace_streaming.job.config import LakeState, Mode, StateBackend
from headrace_streaming.job.last_state import (
    DEFINITIONS,
    LastState,
    recall,
    remember,
    require_state,
)
from headrace_streaming.job.lineage import stream_began, stream_ended
from headrace_streaming.job.options import checkpoint_directory, has_changelog, job_config
from headrace_streaming.job.submission import JobEndedError, started, submit
from headrace_streaming.job.takeover import take_over
from headrace_streaming.kafka.clients import kafka_config
from headrace_streaming.kafka.epochs import deployments, pending_history
from headrace_streaming.kafka.topics import create_topics, topics_of
from headrace_streaming.whole_file import write_whole

if TYPE_CHECKING:
    from pathlib import Path

    from headrace_features.project import Project
    from headrace_schemas.settings import Settings

#: How long Flink's command may still be at work after the one that has started it was killed.
_PATIENCE_S = 60.0


@dataclass(frozen=True, slots=True)
class Handover:
    """From whom a deployment takes over deciding.

    Attributes:
        replaces: the full name of the project whose job is stopped once this one is ready.
        decided_since_ms: what that job has decided of events which this one meets again it has
            decided since then, ms UTC.
    """

    replaces: str
    decided_since_ms: int

    @property
    def arguments(self) -> tuple[str, ...]:
        """For the script of the job."""
        since = str(self.decided_since_ms)
        return ("--replaces", self.replaces, "--decided-since", since)


@dataclass(frozen=True, slots=True)
class Deployment:
    """A job that was just deployed, and the state it went on from, if any.

    Attributes:
        also_in_files: where it begins without any, the sources of which it lacks events.
        begun: where it goes on from one, the views that the deployment before didn't write, or not
            with this meaning: of the online store's they have what is sent from now on.
    """

    job: Job
    restored_from: str | None
    also_in_files: tuple[str, ...] = ()
    begun: tuple[str, ...] = ()


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
    lake: LakeState | None = None,
    also_in_files: Callable[[], Iterable[str]] = tuple,
    apart: bool = False,
    handover: Handover | None = None,
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
        lake: what the state has, if it was made of the lake's events.
        also_in_files: tells the sources that have events which never were in their topics, if
            there is no state: features are incomplete as far as they look back at these.
        apart: keep decisions in the project's namespace, and alert nobody.
        handover: from whom it takes over deciding, if from one that goes on apart.

    Raises:
        ConfigurationError: the job runs already, can't be assembled, or its state is missing, can't
            be looked for, or is of other definitions; or a topic has another number of partitions.
        RetryableError: cluster or broker don't answer, or another command deploys the job.
    """
    # What is wrong with the settings is told before a JVM is started for them.
    job_config(settings, {}, 0)
    cluster = Cluster.of(settings)
    with alone(settings.home, project) as lock:
        name = job_name(project.full_name)
        running = cluster.find(name)
        if running is not None:
            pending = pending_history(kafka_config(settings), project.name, project.namespace)
            if pending is not None:
                # A command before this one was interrupted.
                take_over(kafka_config(settings), pending, cluster, running)
                return Deployment(running, pending.told.restored_from)
        require_stopped(cluster, project)
        end_history(cluster, project)
        # What the script would stumble over in a JVM of its own is told here in one line.
        create_topics(kafka_config(settings), topics_of(project, live=not apart))
        known = recall(settings.home, project.full_name)
        restored = state
        goes_on = state is None and not fresh
        if goes_on:
            restored, lake = _newest(cluster, name, known)
        if restored is not None:
            require_state(restored)
        outside = tuple(also_in_files()) if restored is None else ()
        begun = _begun(settings, project) if restored is not None and lake is None else ()
        checkpoints = _checkpoints(settings, cluster)
        job_id = submit(
            settings,
            environ,
            cluster,
            [
                *(("--mode", mode) if mode else ()),
                *(("--parallelism", str(parallelism)) if parallelism else ()),
                *(("--bounded",) if bounded else ()),
                *(("--newest-state",) if goes_on and restored else ()),
                *(("--state-backend", state_backend) if state_backend else ()),
                *(("--lake", msgspec.json.encode(lake).decode()) if lake else ()),
                *(f"--also-in-files={source}" for source in outside),
                *definitions_for(settings.home, project),
                *(("--apart",) if apart else ()),
                *(handover.arguments if handover else ()),
            ],
            [
                *(("--fromSavepoint", restored) if restored else ()),
                # With a changelog nothing else leaves what is gone on from where it is.
                *(("--claimMode", "legacy") if restored and has_changelog(settings) else ()),
                # The sources of history stay behind.
                *(("--allowNonRestoredState",) if lake else ()),
            ],
            held=lock,
        )
        # From here on it may work, whether or not it does so as long as we wait.
        submitted = LastState(job_id, checkpoints, began_with=restored, lake=lake)
        remember(settings.home, project.full_name, submitted)
        try:
            job = started(cluster, name, job_id)
        except JobEndedError:
            # It has ended before all of it ran, and so left nothing: what was known still holds.
            remember(settings.home, project.full_name, known)
            raise
        stream_began(settings, project, job_id, live=not apart)
        pending = pending_history(kafka_config(settings), project.name, project.namespace)
        if pending is not None:
            take_over(kafka_config(settings), pending, cluster, job)
    return Deployment(job, restored, outside, begun)


def _begun(settings: Settings, project: Project) -> tuple[str, ...]:
    """The views that the last deployment didn't write, or with another meaning."""
    former = deployments(kafka_config(settings), project.name, project.namespace)
    if not former or former[-1].told.views is None:
        return ()
    written = former[-1].told.views
    return tuple(view.name for view in project.views.values() if view_key(view) not in written)


def newest_state(settings: Settings, project: Project) -> str | None:
    """The state that the next deployment goes on from; None where none is known.

    Raises:
        ConfigurationError: there may be one where it can't be looked for.
        RetryableError: the cluster doesn't answer.
    """
    known = recall(settings.home, project.full_name)
    return _newest(Cluster.of(settings), job_name(project.full_name), known)[0]


def _newest(
    cluster: Cluster, name: str, known: LastState | None
) -> tuple[str | None, LakeState | None]:
    """The newest state of a job, and what it has where it was made of the lake's events.

    Raises:
        ConfigurationError: there may be one where it can't be looked for.
    """
    if known is not None and known.savepoint is not None:
        newest = next(iter(cluster.jobs(name)), None)
        if newest is not None and newest.job_id == known.job_id:
            # The cluster tells of a savepoint only seconds after it has made it.
            return known.savepoint, None
    found = cluster.last_state(name)
    if found is not None or known is None:
        return found, None
    found = known.path()
    # The first state of a job that began with the lake has no offsets.
    return found, known.lake if found == known.began_with else None


def alone(home: Path, project: Project) -> AbstractContextManager[int]:
    """Let no other command with the same home deploy a project or make its state meanwhile.

    Flink's command holds the lock as well: it goes on where the one that has started it is killed,
    and soon ends.

    Raises:
        RetryableError: another one is at it, for longer than that takes.
    """
    taken = RetryableError(
        f"another command deploys the job of {project.name}", hint="try again when it has ended"
    )
    return exclusive(home / "stream" / f"{project.name}.lock", taken, _PATIENCE_S)


def await_left_behind(home: Path, project: Project) -> None:
    """Wait until what a killed command has left behind deploys nothing any more.

    Raises:
        RetryableError: another command deploys the project.
    """
    with alone(home, project):
        pass


def end_history(cluster: Cluster, project: Project) -> None:
    """Cancel a job that makes state out of history: nobody is there any more who waits for it.

    Raises:
        RetryableError: it doesn't end.
    """
    for job in cluster.jobs(history_job_name(project.full_name)):
        if not job.ended:
            cluster.cancel(job)


def require_stopped(cluster: Cluster, project: Project) -> None:
    """See that no job of a project runs.

    Raises:
        ConfigurationError: one does.
    """
    name = job_name(project.full_name)
    job = cluster.find(name)
    if job is not None:
        raise ConfigurationError(
            f"the job {name} runs already, as {job.job_id}",
            hint="stop it first: headrace stream stop",
        )


def stop(settings: Settings, project: Project) -> str:
    """Stop a project's job with a savepoint, from which the next deployment goes on.

    Args:
        settings: which cluster.
        project: whose.

    Returns:
        The path of the savepoint.

    Raises:
        ConfigurationError: the job doesn't run.
        RetryableError: the cluster doesn't answer, or the savepoint failed.
    """
    return _stop(settings, project.full_name)


def _stop(settings: Settings, full_name: str) -> str:
    cluster = Cluster.of(settings)
    job = cluster.running(job_name(full_name))
    path = cluster.stop(job)
    left = LastState(job.job_id, _checkpoints(settings, cluster), path)
    remember(settings.home, full_name, left)
    stream_ended(settings, full_name, job.job_id)
    return path


def stop_if_running(settings: Settings, full_name: str) -> None:
    """The same of the project with a full name, if there is such a job at all."""
    if Cluster.of(settings).find(job_name(full_name)) is not None:
        _stop(settings, full_name)


def definitions_for(home: Path, project: Project) -> tuple[str, ...]:
    """How the script of the job is told of definitions that it doesn't find in the code."""
    if project.is_declared:
        return ()
    path = home / "stream" / f"{project.full_name}{DEFINITIONS}"
    write_whole(path, msgspec.json.encode(portable_project(project)))
    return ("--definitions", str(path))


def _checkpoints(settings: Settings, cluster: Cluster) -> str:
    return checkpoint_directory(settings) or cluster.setting("execution.checkpointing.dir")
