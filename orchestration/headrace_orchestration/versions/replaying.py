"""Makes another version of a view beside the one that is served, out of the same events.

The version gets a namespace of its own, and in it a job that takes in what the topics hold, or what
the lake has where they no longer go back so far, and then goes on with what comes. It decides as
the job that is served does, but nobody is alerted. What a command left undone goes on with the next
one: the namespace, its job and its writer are found as they are.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import closing
from dataclasses import dataclass
from dataclasses import replace as replaced
from typing import TYPE_CHECKING

from headrace_batch.ingest.covered import covered_offsets
from headrace_batch.warehouse import Warehouse
from headrace_features.online.served import view_key
from headrace_features.online.store import layers_of
from headrace_features.online.stores import open_store
from headrace_features.online.versions import Versions, change_versions, read_versions
from headrace_features.portable_project import declare_alike, portable_in, project_from
from headrace_orchestration.lake_records import also_in_files, lake_records
from headrace_orchestration.versions.exclusion import alone_with_versions
from headrace_schemas.errors import ConfigurationError, RetryableError
from headrace_streaming.job.assembly import consumer_group, job_name
from headrace_streaming.job.bootstrap import bootstrap, require_present
from headrace_streaming.job.cluster import Cluster
from headrace_streaming.job.config import LakeState, Mode
from headrace_streaming.job.deployment import await_left_behind, deploy, stop
from headrace_streaming.job.last_state import recall
from headrace_streaming.kafka.clients import kafka_config
from headrace_streaming.kafka.epochs import deployments
from headrace_streaming.kafka.positions import Positions
from headrace_streaming.kafka.reading import ends, next_offsets
from headrace_streaming.kafka.topics import updates_in
from headrace_streaming.writer.places import has_all

if TYPE_CHECKING:
    from headrace_features.project import Project
    from headrace_schemas.settings import Settings

_POLL_S = 1.0
#: After so long without news nothing more is expected.
_SILENCE_S = 30.0
#: How much of the rate that was known stays at each look.
_KEPT = 0.7
EARLIEST = "earliest"
LAKE = "lake"


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a replay is.

    Attributes:
        done: how many records of the topics it has taken in.
        left: how many are left, of those that there are now.
        rate: how many it has taken in a second of late.
    """

    done: int
    left: int
    rate: float

    @property
    def remaining_s(self) -> float | None:
        """How long it takes at this rate, in seconds; None where it doesn't get on."""
        return self.left / self.rate if self.rate > 0 else None


def namespace_of(view: str, version: int) -> str:
    """What the namespace of a version is called."""
    return f"{view}-v{version}"


def begin_replay(  # noqa: PLR0913, PLR0917 - what it needs
    settings: Settings,
    project: Project,
    view: str,
    version: int,
    environ: Mapping[str, str],
    since: str | int,
    told: Callable[[str], None],
) -> Project:
    """Start the job of a version that is declared, unless it runs already.

    Args:
        settings: which broker, cluster, lake and store.
        project: the definitions, with the new version.
        view: the name of the view.
        version: the declared one.
        environ: the variables for Flink's command.
        since: `EARLIEST`, `LAKE` or a time, ms UTC: where it begins.
        told: takes news, a line each.

    Returns:
        The project in the namespace of the version.

    Raises:
        ConfigurationError: the version isn't declared, is served already, or nothing is deployed.
        RetryableError: something doesn't answer.
    """
    declared = project.view(view)
    if declared.version != version:
        raise ConfigurationError(
            f"{view} is declared with version {declared.version}, not {version}",
            hint="declare what the version means, then replay it",
        )
    with alone_with_versions(settings, project):
        return _begun(settings, project, view, environ, since, told)


def _begun(  # noqa: PLR0913, PLR0917 - what it needs
    settings: Settings,
    project: Project,
    view: str,
    environ: Mapping[str, str],
    since: str | int,
    told: Callable[[str], None],
) -> Project:
    version = project.view(view).version
    namespace = namespace_of(view, version)
    held = _held(settings, project)
    served = project_from(held.namespaces[held.serving]).views.get(view)
    if held.serving == namespace or (served is not None and served.version == version):
        raise ConfigurationError(
            f"version {version} of {view} is the one that is served",
            hint="declare a higher version to make it anew beside this one",
        )
    definitions = portable_in(project, namespace)
    before = held.namespaces.get(namespace)
    if before is not None and not declare_alike(before, definitions):
        raise ConfigurationError(
            f"version {version} of {view} was begun with other definitions",
            hint=f"begin anew: headrace versions drop {namespace}, or declare a higher version",
        )
    change_versions(
        open_store(settings), lambda now: _with_served(now, held).keeps(namespace, definitions)
    )
    made = project_from(definitions)
    await_left_behind(settings.home, made)
    if Cluster.of(settings).find(job_name(made.full_name)) is not None:
        told(
            f"the job of {namespace} runs already; to begin anew: headrace versions drop"
            f" {namespace}"
        )
        return made
    # One that was interrupted goes on from its own state. The cluster still knows that of one which
    # was dropped.
    goes_on = recall(settings.home, made.full_name) is not None
    if goes_on and since != EARLIEST:
        told(
            f"{namespace} goes on from where it is; to begin anew: headrace versions drop"
            f" {namespace}"
        )
    state, lake = (None, None) if goes_on else _beginning(settings, made, since, environ, told)
    deploy(
        settings,
        made,
        environ,
        mode=None if goes_on and is_settled(settings, made) else Mode.ORDERED,
        state=state,
        fresh=not goes_on and state is None,
        lake=lake,
        also_in_files=lambda: also_in_files(settings, made),
        apart=True,
    )
    return made


def _with_served(versions: Versions, held: Versions) -> Versions:
    """What there is now, with the definitions that are served, which nobody had to note before."""
    if versions.serving in versions.namespaces:
        return versions
    return versions.keeps(held.serving, held.namespaces[held.serving])


def _held(settings: Settings, project: Project) -> Versions:
    """What is kept by now, with what is served.

    Raises:
        ConfigurationError: nothing is deployed, or by a release that didn't tell its definitions.
    """
    _, versions = read_versions(open_store(settings))
    if versions.serving in versions.namespaces:
        return versions
    known = deployments(kafka_config(settings), project.name, versions.serving)
    if not known:
        raise ConfigurationError(
            f"no stream of {project.name} was deployed, beside which there could be another",
            hint="headrace stream deploy",
        )
    definitions = known[-1].told.definitions
    if definitions is None:
        raise ConfigurationError(
            "the stream that is deployed doesn't tell its definitions",
            hint="deploy it once more with this release and the definitions that it has:"
            " headrace stream stop, headrace stream deploy",
        )
    return versions.keeps(versions.serving, definitions)


def _beginning(
    settings: Settings,
    project: Project,
    since: str | int,
    environ: Mapping[str, str],
    told: Callable[[str], None],
) -> tuple[str | None, LakeState | None]:
    """The state that a replay begins with, if any, and the offsets that it goes on with."""
    kafka = kafka_config(settings)
    topics = {name: source.topic for name, source in project.sources.items()}
    if isinstance(since, int):
        starts = {name: _at(kafka, topic, since) for name, topic in topics.items()}
        return None, LakeState(starts=starts, since_ms=dict.fromkeys(starts, since))
    gone = [
        name
        for name, topic in topics.items()
        if any(oldest > 0 for oldest, _ in ends(kafka, topic).values())
    ]
    if since == EARLIEST:
        in_files = also_in_files(settings, project)
        covered = _taken_in(settings, project, in_files)
        if in_files and not covered:
            told(
                f"the lake has events of {', '.join(in_files)} that never were in Kafka: features"
                " are incomplete where the stream alone would have to look back at them; to begin"
                " with these: headrace ingest --from-kafka, then --from lake"
            )
        if not gone and not (in_files and covered):
            return None, None
        for names, why in ((gone, "the broker has deleted"), (in_files, "not all is in Kafka of")):
            if names:
                told(f"{why} events of {', '.join(names)}: the lake's come first")
    lake = lake_records(settings, project)
    require_present(kafka, project, lake.state.starts)
    told("make the state of the lake's events")
    path, history = bootstrap(
        settings,
        project,
        environ,
        lake.records,
    )
    return path, replaced(lake.state, history=history)


def _taken_in(settings: Settings, project: Project, names: Iterable[str]) -> bool:
    """Whether the lake knows of the topics of some sources where it ends."""
    warehouse = Warehouse.of(settings)
    return all(covered_offsets(warehouse, project.source(name)) for name in names)


def _at(kafka: Mapping[str, str], topic: str, since_ms: int) -> dict[int, int]:
    """By partition the first record that was sent since a time."""
    with closing(Positions(kafka)) as positions:
        return positions.since(topic, since_ms)


def follow(settings: Settings, project: Project, shown: Callable[[Progress], None]) -> Progress:
    """Wait until a replay has taken in everything that there was when it was last looked at.

    Raises:
        RetryableError: its job runs no longer, or the broker or the cluster doesn't answer.
    """
    kafka = kafka_config(settings)
    epoch = deployments(kafka, project.name, project.namespace)[-1].epoch
    began, before, rate = time.monotonic(), 0, 0.0
    with closing(Positions(kafka, consumer_group(project.full_name, epoch))) as positions:
        while True:
            there = {topic: positions.ends(topic) for topic in project.topics}
            done, left = _counted(positions, there)
            now = time.monotonic()
            if done > before and now > began:
                latest = (done - before) / (now - began)
                rate = latest if rate == 0 else _KEPT * rate + (1 - _KEPT) * latest
                began, before = now, done
            progress = Progress(done, left, rate)
            shown(progress)
            if all(
                positions.has_read(topic, {number: end for number, (_, end) in held.items()})
                for topic, held in there.items()
            ):
                return progress
            _require_running(settings, project)
            time.sleep(_POLL_S)


def settle(settings: Settings, project: Project, environ: Mapping[str, str]) -> None:
    """Go on as the settings say, once history is taken in.

    In ordered mode the newest events wait until later ones come, those of one partition perhaps for
    as long as none comes to another: what there is online would depend on when one looks.

    Raises:
        RetryableError: something doesn't answer; the same command goes on.
    """
    if is_settled(settings, project):
        return
    stop(settings, project)
    deploy(settings, project, environ, apart=True)


def is_settled(settings: Settings, project: Project) -> bool:
    """Whether history is taken in, and the job goes on as the settings say."""
    known = deployments(kafka_config(settings), project.name, project.namespace)
    return bool(known) and known[-1].told.mode == settings.stream.mode


def await_online(settings: Settings, project: Project, told: Callable[[str], None]) -> None:
    """Wait until the online store has all that a replay has told so far.

    Raises:
        RetryableError: nobody writes it, or the store or the broker doesn't answer.
    """
    store, topic = open_store(settings, project.namespace), updates_in(project)
    upto = next_offsets(kafka_config(settings), topic)
    before, changed = -1, time.monotonic()
    while not has_all(store.progress(), upto):
        written = sum(one.next_offset for one in store.progress().values())
        told(f"{written:,} of {sum(upto.values()):,} updates are in the online store")
        if written != before:
            before, changed = written, time.monotonic()
        if time.monotonic() - changed > _SILENCE_S:
            raise RetryableError(
                f"nobody writes the updates of {project.namespace} into the online store",
                hint="headrace up, or headrace writer; then the same command goes on",
            )
        time.sleep(_POLL_S / 2)
    keys = [view_key(view) for view in project.views.values()]
    deadline = time.monotonic() + _SILENCE_S
    while time.monotonic() < deadline:
        streams = [one.stream for one in layers_of(store, keys).values()]
        if all(one is not None and one.current_ms for one in streams):
            return
        # Of a source without any events nobody will ever tell.
        time.sleep(_POLL_S / 2)


def _require_running(settings: Settings, project: Project) -> None:
    name, cluster = job_name(project.full_name), Cluster.of(settings)
    job = next(iter(cluster.jobs(name)), None)
    if job is None or job.ended:
        why = "" if job is None else f": {cluster.failure(job) or job.state.lower()}"
        raise RetryableError(
            f"the job {name} runs no longer{why}", hint="the same command goes on with it"
        )


def _counted(
    positions: Positions, there: Mapping[str, Mapping[int, tuple[int, int]]]
) -> tuple[int, int]:
    """How many records of topics a group has read, and how many there are beyond."""
    done = left = 0
    for topic, held in there.items():
        come = positions.reached(topic)
        for partition, (first, end) in held.items():
            at = max(come.get(partition, first), first)
            done += at - first
            left += end - at
    return done, left
