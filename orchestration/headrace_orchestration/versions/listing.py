"""What is kept side by side, and a hash of what each view has online."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from headrace_batch.kept_layers import KeptLayer, kept_layers
from headrace_features.feast_plugin.registry_file import registered_views
from headrace_features.online.live import project_in
from headrace_features.online.served import view_key
from headrace_features.online.stores import open_store
from headrace_features.online.versions import read_versions
from headrace_schemas.errors import RetryableError
from headrace_streaming.job.assembly import job_name
from headrace_streaming.job.cluster import Cluster

if TYPE_CHECKING:
    from headrace_features.online.store import StateStore
    from headrace_features.online.versions import Versions
    from headrace_features.project import Project
    from headrace_schemas.settings import Settings

_BITS = 256


@dataclass(frozen=True, slots=True)
class ListedView:
    """A view in a namespace.

    Attributes:
        view: its name.
        version: the one that is kept.
        hash: of what the stream has written of it; None where it wasn't asked for, or that is
            nothing.
    """

    view: str
    version: int
    hash: str | None


@dataclass(frozen=True, slots=True)
class ListedNamespace:
    """One namespace.

    Attributes:
        namespace: its name; "" is the first one. A batch layer that belongs to none of them is
            named by view and version.
        serving: whether it is the one that is read.
        job: what its job does, as Flink calls it; None where there is none, unknown where the
            cluster doesn't answer.
        views: those that it has.
    """

    namespace: str
    serving: bool
    job: str | None
    views: tuple[ListedView, ...]


def listed(settings: Settings, project: Project, *, hashed: bool) -> list[ListedNamespace]:
    """All namespaces of a project; without any beside it, what is declared.

    After them what batch has written of former versions, and of views that are gone.

    Raises:
        RetryableError: the store or the lake doesn't answer.
    """
    store = open_store(settings)
    _, versions = read_versions(store)
    found = []
    for name in versions.namespaces or {"": {}}:
        held = project_in(versions, name, project)
        views = tuple(
            ListedView(
                view.name, view.version, content_hash(store, view_key(view)) if hashed else None
            )
            for view in held.views.values()
        )
        job = _job(settings, held)
        found.append(ListedNamespace(name, name == versions.serving, job, views))
    for layer in layers_apart(settings, project, versions):
        view = ListedView(layer.view, layer.version, None)
        found.append(ListedNamespace(layer.name, is_registered(settings, layer), None, (view,)))
    return found


def layers_apart(settings: Settings, project: Project, versions: Versions) -> list[KeptLayer]:
    """The batch layers that are those of no namespace.

    Raises:
        RetryableError: the store or the lake doesn't answer.
    """
    projects = [project_in(versions, name, project) for name in versions.namespaces or {"": {}}]
    known = {view_key(view) for one in projects for view in one.views.values()}
    return [layer for layer in kept_layers(settings) if layer.key not in known]


def is_registered(settings: Settings, layer: KeptLayer) -> bool:
    """Whether a batch layer is of the version that Feast's registry has, so that it is read."""
    registered = registered_views(settings.feast.registry, settings.project.name).get(layer.view)
    return registered is not None and registered.version == layer.version


def _job(settings: Settings, project: Project) -> str | None:
    try:
        jobs = Cluster.of(settings).jobs(job_name(project.full_name))
    except RetryableError:
        return "unknown"
    return next((one.state for one in jobs), None)


def content_hash(store: StateStore, view: str) -> str | None:
    """A hash of the entities, fields and contents of a stream layer, in whatever order they come.

    It is the sum of the hashes of all, so that nothing has to be sorted or held. Numbers of
    deployments and of events aren't part of it: the same events in a replay give the same hash.

    Returns:
        None where there are none.
    """
    total = 0
    for entity, field, content in store.contents(view):
        one = hashlib.sha256(len(entity).to_bytes(8) + entity + field.encode() + b"\0" + content)
        total = (total + int.from_bytes(one.digest())) % (1 << _BITS)
    return f"{total:064x}" if total else None
