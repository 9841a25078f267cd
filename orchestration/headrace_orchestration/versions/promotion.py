"""Makes another version the one that is served, in one step for readers and one for decisions.

Whose decisions are the project's is handed over from job to job: that of the version stops with a
savepoint and begins again as the one that decides, and the one before it, once that is ready to
start, is stopped and goes on apart. Neither has to be at the same place: what the one before has
decided is known by the topic of decisions. Readers follow one document in the store. Whatever was
interrupted in between, the same command finishes.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING

from headrace_features.lineage.places import store_place
from headrace_features.lineage.recording import recorded
from headrace_features.lineage.told import Told, Work
from headrace_features.online.live import project_in
from headrace_features.online.served import view_key
from headrace_features.online.stores import open_store
from headrace_features.online.versions import (
    Switch,
    Versions,
    change_versions,
    read_versions,
    spelled,
)
from headrace_features.portable_project import declare_alike, portable_in, project_from
from headrace_orchestration.versions.exclusion import alone_with_versions
from headrace_orchestration.versions.replaying import is_settled
from headrace_schemas.errors import ConfigurationError, RetryableError
from headrace_streaming.job.assembly import consumer_group, job_name
from headrace_streaming.job.cluster import Cluster
from headrace_streaming.job.config import Mode
from headrace_streaming.job.deployment import Handover, await_left_behind, deploy, stop
from headrace_streaming.job.last_state import recall
from headrace_streaming.kafka.clients import kafka_config
from headrace_streaming.kafka.epochs import Deployed, deployments
from headrace_streaming.kafka.positions import Positions

if TYPE_CHECKING:
    from headrace_features.project import Project
    from headrace_schemas.settings import Settings

#: How far a version may be behind, in records of the topics, to be caught up: what comes in the
#: seconds that a checkpoint takes.
_BEHIND_S = 30.0
#: Clocks of those who send differ, and so do the times at which records were sent.
_SLACK_MS = 3_600_000


_MADE_BY = "headrace apply makes it of what is declared, by headrace replay"


@dataclass(frozen=True, slots=True)
class Promotion:
    """What was done.

    Attributes:
        serving: the namespace that is served now.
        former: the one that was served before.
    """

    serving: str
    former: str


def switch(  # noqa: PLR0913 - what it needs
    settings: Settings,
    project: Project,
    namespace: str,
    environ: Mapping[str, str],
    told: Callable[[str], None],
    *,
    back: bool = False,
) -> Promotion:
    """Serve a namespace, and keep the one that is served so far warm.

    Args:
        settings: which broker, cluster and store.
        project: the declared definitions.
        namespace: the one to be served.
        environ: the variables for Flink's command.
        told: takes news, a line each.
        back: whether that takes a promotion back.

    Raises:
        ConfigurationError: there is no such namespace, or its job has left no state.
        RetryableError: another command is at it, or something doesn't answer.
    """
    with alone_with_versions(settings, project):
        await_left_behind(settings.home, project)
        store = open_store(settings)
        _, versions = read_versions(store)
        require_known(versions, namespace)
        begun = _begun(versions, namespace, back=back)
        change_versions(store, lambda held: held.switches(begun))
        new = project_from(versions.namespaces[namespace])
        old = project_in(versions, begun.former, project)
        with recorded(settings, [_work(settings, new, back=begun.back)]):
            _hand_over(settings, new, old, environ, told)
            change_versions(store, lambda held: _served(held, begun))
            told(f"readers get {spelled(namespace)}")
            _keep_warm(settings, old, environ, told)
            change_versions(store, lambda held: _ended(held, begun))
        return Promotion(namespace, begun.former)


def _work(settings: Settings, new: Project, *, back: bool) -> Work:
    """What is told of it: which state readers get from now on."""
    state = tuple(
        Told(store_place(settings, view_key(view)), facts={"serving": new.namespace})
        for view in new.views.values()
    )
    return Work("rollback" if back else "promote", writes=state)


def _begun(versions: Versions, namespace: str, *, back: bool) -> Switch:
    """What is to be done so that a namespace is served, or was begun for that already."""
    begun = versions.switch
    if begun is not None and begun.to == namespace:
        return begun
    if versions.serving != namespace:
        return Switch(namespace, versions.serving, back)
    # It is read: something else was about to be, or the one before it was not started again.
    others = versions.former if begun is None else (begun.to,)
    return Switch(namespace, next(iter(others), namespace), back)


def _served(versions: Versions, begun: Switch) -> Versions:
    """What was begun as what is read.

    Raises:
        RetryableError: a command from elsewhere has finished it meanwhile, or taken it back.
    """
    if versions.switch != begun and versions.serving != begun.to:
        raise RetryableError(
            f"{spelled(begun.to)} was about to be served, and another command has ended that",
            hint="headrace versions list shows what is served",
        )
    return versions.serves(begun.to, back=begun.back)


def _ended(versions: Versions, begun: Switch) -> Versions:
    """What was begun as ended; what another command has begun meanwhile goes on."""
    return versions.switches(None) if versions.switch == begun else versions


def former_of(settings: Settings, view: str) -> str:
    """The namespace that was served before, or before a promotion that has not ended.

    Raises:
        ConfigurationError: none was, or it is gone.
    """
    _, versions = read_versions(open_store(settings))
    if versions.switch is not None:
        # To take back is not to be taken back by the command that finishes it.
        return versions.switch.to if versions.switch.back else versions.switch.former
    if not versions.former:
        raise ConfigurationError(
            f"no other version of {view} was served before, or it was dropped",
            hint="headrace versions list shows what there is, headrace promote serves any of it",
        )
    return versions.former[0]


def require_ready(settings: Settings, project: Project, namespace: str) -> Project | None:
    """See that a version may be served; None if a command before was about to have it served.

    Raises:
        ConfigurationError: there is none, it doesn't run, it is behind, or a command before was
            about to have another one served.
    """
    _, versions = read_versions(open_store(settings))
    require_known(versions, namespace)
    begun = versions.switch
    if begun is not None and begun.to != namespace:
        raise unfinished(begun)
    if versions.serving == namespace or begun is not None:
        return None
    made = project_in(versions, namespace, project)
    require_caught_up(settings, made)
    if not is_settled(settings, made):
        raise ConfigurationError(
            f"the replay of {namespace} has not ended",
            hint="headrace apply, or headrace replay, goes on with it",
        )
    return made


def require_declared(settings: Settings, project: Project, namespace: str) -> None:
    """See that code declares what a namespace was made of: with it that is registered.

    Raises:
        ConfigurationError: it declares something else, or there is no such namespace.
    """
    if not is_declared(settings, project, namespace):
        raise ConfigurationError(
            f"{namespace} was made of other definitions than are declared now",
            hint="declare these again, or make what is declared: headrace apply",
        )


def is_declared(settings: Settings, project: Project, namespace: str) -> bool:
    """Whether code declares what a namespace was made of.

    Raises:
        ConfigurationError: there is no such namespace.
    """
    _, versions = read_versions(open_store(settings))
    require_known(versions, namespace, _MADE_BY)
    return declare_alike(versions.namespaces[namespace], portable_in(project, namespace))


def unfinished(begun: Switch) -> ConfigurationError:
    """An error that tells of what was begun and has to be finished first."""
    return ConfigurationError(
        f"{spelled(begun.to)} is about to be served in place of {spelled(begun.former)}",
        hint="finish that, or take it back: headrace promote or headrace rollback",
    )


def require_known(versions: Versions, namespace: str, hint: str | None = None) -> None:
    """See that there is such a namespace.

    Args:
        versions: what is kept.
        namespace: its name.
        hint: what to do where there is none.

    Raises:
        ConfigurationError: there is none.
    """
    if namespace not in versions.namespaces:
        known = [one or "(first)" for one in versions.namespaces]
        raise ConfigurationError.unknown("namespace", namespace, known, hint=hint)


def require_caught_up(settings: Settings, project: Project) -> None:
    """See that a version has taken in what there is, but for the newest seconds.

    Raises:
        ConfigurationError: it runs no longer, or is behind.
    """
    kafka = kafka_config(settings)
    if Cluster.of(settings).find(job_name(project.full_name)) is None:
        raise ConfigurationError(
            f"no job of {project.namespace} runs",
            hint="headrace replay goes on with one that was interrupted, headrace stream deploy"
            " deploys the jobs of all versions again",
        )
    newest = _newest(kafka, project)
    with closing(Positions(kafka, consumer_group(project.full_name, newest.epoch))) as positions:
        there = {topic: positions.next_offsets(topic) for topic in project.topics}
        deadline = time.monotonic() + _BEHIND_S
        while not all(positions.has_read(topic, ends) for topic, ends in there.items()):
            if time.monotonic() > deadline:
                raise ConfigurationError(
                    f"{project.namespace} has not caught up with the topics",
                    hint="headrace replay shows how far it is, and waits for it",
                )
            time.sleep(0.5)


def deploy_beside(
    settings: Settings, project: Project, environ: Mapping[str, str], told: Callable[[str], None]
) -> None:
    """Deploy the jobs of the versions that are kept beside the one that is served, where none runs.

    Those have one that were deployed from this home.

    Raises:
        ConfigurationError: one can't be assembled, or its state is gone.
        RetryableError: something doesn't answer.
    """
    _, versions = read_versions(open_store(settings))
    for name in versions.namespaces:
        held = project_in(versions, name, project)
        if name != versions.serving and recall(settings.home, held.full_name) is not None:
            _keep_warm(settings, held, environ, told)


def _newest(kafka: Mapping[str, str], project: Project) -> Deployed:
    """The newest deployment in a project's namespace.

    Raises:
        ConfigurationError: there is none.
    """
    known = deployments(kafka, project.name, project.namespace)
    if not known:
        raise ConfigurationError(
            f"nothing was deployed in {spelled(project.namespace)}",
            hint="headrace replay",
        )
    return known[-1]


def _hand_over(
    settings: Settings,
    new: Project,
    old: Project,
    environ: Mapping[str, str],
    told: Callable[[str], None],
) -> None:
    """Let a version decide instead of another, unless it does."""
    kafka, cluster = kafka_config(settings), Cluster.of(settings)
    newest = _newest(kafka, new)
    running = cluster.find(job_name(new.full_name)) is not None
    if newest.told.live and running:
        return
    since_ms = _decided_since_ms(kafka, new, newest)
    if running:
        told(f"stop the job of {spelled(new.namespace)} with a savepoint")
        stop(settings, new)
    told("start it again as the one that decides")
    deploy(
        settings,
        new,
        environ,
        handover=Handover(old.full_name, since_ms),
    )


def _decided_since_ms(kafka: Mapping[str, str], project: Project, newest: Deployed) -> int:
    """Since when decisions may be about events that a job has not taken in yet, ms UTC."""
    group = consumer_group(project.full_name, newest.epoch)
    found = [time.time_ns() // 1_000_000]
    with closing(Positions(kafka, group)) as positions:
        for topic in project.topics:
            reached = positions.reached(topic)
            for partition, (oldest, end) in positions.ends(topic).items():
                start = max(reached.get(partition, oldest), oldest)
                first = positions.first_from(topic, partition, start) if start < end else None
                if first is not None:
                    found.append(first.timestamp()[1])
    return max(min(found) - _SLACK_MS, 1)


def _keep_warm(
    settings: Settings, old: Project, environ: Mapping[str, str], told: Callable[[str], None]
) -> None:
    """Let the version that was served go on apart, unless it does."""
    if Cluster.of(settings).find(job_name(old.full_name)) is not None:
        return
    told(f"keep {spelled(old.namespace)} warm")
    deploy(
        settings,
        old,
        environ,
        # One that is replayed still takes its history in by the order of time.
        mode=Mode(_newest(kafka_config(settings), old).told.mode),
        apart=True,
    )
