"""What changed definitions need beside being registered, and what that costs."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TYPE_CHECKING

from headrace_features.feast_plugin.changes import ChangeKind
from headrace_features.online.served import view_key
from headrace_features.online.store import layers_of
from headrace_features.online.stores import open_store
from headrace_features.online.versions import Versions, read_versions
from headrace_features.portable_project import declare_alike, portable_in, project_from
from headrace_features.view_modes import ViewMode, view_modes
from headrace_orchestration.batch_layers import events_in_lake
from headrace_orchestration.versions.replaying import namespace_of
from headrace_schemas.errors import HeadraceError
from headrace_streaming.kafka.clients import kafka_config
from headrace_streaming.kafka.epochs import deployments
from headrace_streaming.kafka.reading import ends
from headrace_streaming.services import control

if TYPE_CHECKING:
    from headrace_features.definitions.views import FeatureView
    from headrace_features.feast_plugin.changes import ViewChange
    from headrace_features.project import Project
    from headrace_schemas.settings import Settings

#: Events a second on two cores, as the README's figures have them: of a first batch layer, and of
#: a replay.
_LAYER_RATE = 200_000
_REPLAY_RATE = 20_000
#: What a replay takes besides, in seconds: two deployments, and until its writer is at work.
_REPLAY_BEGINS_S = 30


class WorkKind(StrEnum):
    """How a view gets its values."""

    MATERIALIZE = "materialize"
    REPLAY = "replay"


@dataclass(frozen=True, slots=True)
class NeededWork:
    """What new definitions need before they have values online.

    Attributes:
        kind: how it is done.
        views: the names of those that have values then, first the one that the command names.
        version: of that one, as declared.
        command: what does it.
        events: how many it has to read.
        seconds: about how long that takes on two cores.
    """

    kind: WorkKind
    views: tuple[str, ...]
    version: int
    command: str
    events: int
    seconds: float


def needed_work(
    settings: Settings, project: Project, found: Iterable[ViewChange]
) -> list[NeededWork]:
    """What is to be materialized or replayed for views that are new or mean something else.

    Where a stream keeps some of them otherwise, or not at all, the whole project is replayed beside
    it, once for all, batch layers included; readers get it, and the registry, when it is promoted.
    Else each view gets its batch layer, if it has none. What neither lake nor broker has any events
    for needs nothing, nor do on-demand views.

    Args:
        settings: which lake, broker and store.
        project: the declared definitions.
        found: how they differ from the registered ones.

    Raises:
        ConfigurationError: a table is damaged, or a mode is unknown.
        RetryableError: the lake or the store can't be reached.
    """
    modes = view_modes(settings, project)
    _, versions = read_versions(open_store(settings))
    found = [change for change in found if change.view in project.views]
    views = {
        change.view: replace(project.views[change.view], namespace=versions.serving)
        for change in found
        if change.kind in {ChangeKind.ADDED, ChangeKind.CHANGED}
    }
    streamed = streamed_views(settings, project, versions)
    if streamed is not None:
        others = [name for name, view in views.items() if view_key(view) not in streamed]
        others += _dropped(project, versions, streamed, set(project.views) - set(views))
        if others:
            return [_replay(settings, project, versions, others)]
    layers = layers_of(open_store(settings), [view_key(view) for view in views.values()])
    work = []
    for name, view in views.items():
        held = events_in_lake(settings, view.source)
        if modes[name] is ViewMode.LAMBDA and held and layers[view_key(view)].batch is None:
            command = f"headrace materialize --view {name}"
            kind, seconds = WorkKind.MATERIALIZE, held / _LAYER_RATE
            work.append(NeededWork(kind, (name,), view.version, command, held, seconds))
    return work


def _replay(
    settings: Settings, project: Project, versions: Versions, names: list[str]
) -> NeededWork:
    """One replay of all views, in the namespace of one of those that need it."""
    named = _begun(project, versions, names) or names[0]
    modes = view_modes(settings, project)
    sources = {source.topic: source for source in project.sources.values()}
    events = sum(_in_topic(settings, topic) for topic in sources)
    held = {topic: events_in_lake(settings, source) for topic, source in sources.items()}
    batch = sum(
        held[view.source.topic]
        for name, view in project.views.items()
        if modes[name] is ViewMode.LAMBDA
    )
    version = project.view(named).version
    most = max(events, *held.values())
    return NeededWork(
        WorkKind.REPLAY,
        (named, *(name for name in names if name != named)),
        version,
        f"headrace replay {named} --to-version {version}",
        most,
        _REPLAY_BEGINS_S + most / _REPLAY_RATE + batch / _LAYER_RATE,
    )


def _dropped(
    project: Project, versions: Versions, streamed: Collection[str], names: Iterable[str]
) -> list[str]:
    """The views that are registered, and kept by nobody any more in the version that they have."""
    kept = {
        view_key(replace(view, namespace=""))
        for held in versions.namespaces.values()
        for view in project_from(held).views.values()
    }
    kept |= {key.partition("@")[0] for key in streamed}
    return sorted(name for name in names if view_key(project.view(name)) not in kept)


def _begun(project: Project, versions: Versions, names: Iterable[str]) -> str | None:
    """The view after which a replay of the same definitions is named that was begun already."""
    for name in names:
        namespace = namespace_of(name, project.view(name).version)
        held = versions.namespaces.get(namespace)
        if held is not None and declare_alike(held, portable_in(project, namespace)):
            return name
    return None


def _in_topic(settings: Settings, topic: str) -> int:
    """How many records a topic has; none where the broker, which is down, doesn't tell."""
    try:
        return sum(end - first for first, end in ends(kafka_config(settings), topic).values())
    except HeadraceError:
        return 0


def streamed_views(
    settings: Settings, project: Project, versions: Versions
) -> Collection[str] | None:
    """The keys of the views that the stream which is served keeps; None where there is none."""
    held = versions.namespaces.get(versions.serving)
    if held is not None:
        return _keys(project_from(held).views.values())
    if control.has_no_broker(settings):
        return None
    try:
        known = deployments(kafka_config(settings), project.name, versions.serving)
    except HeadraceError:
        # One that is down keeps nobody from looking at what has changed.
        return None
    if not known:
        return None
    told = known[-1].told.views
    # An older release tells of none: then it is for a deployment to find out.
    views = (replace(view, namespace=versions.serving) for view in project.views.values())
    return _keys(views) if told is None else told


def _keys(views: Iterable[FeatureView]) -> set[str]:
    return {view_key(view) for view in views}
