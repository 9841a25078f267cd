"""What is kept side by side, and a hash of what each view has online."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from headrace_features.online.live import project_in
from headrace_features.online.served import view_key
from headrace_features.online.stores import open_store
from headrace_features.online.versions import read_versions
from headrace_streaming.job.assembly import job_name
from headrace_streaming.job.cluster import Cluster

if TYPE_CHECKING:
    from headrace_features.online.store import StateStore
    from headrace_features.project import Project
    from headrace_schemas.settings import Settings

_BITS = 256


@dataclass(frozen=True, slots=True)
class ListedView:
    """A view in a namespace.

    Attributes:
        view: its name.
        version: the one that is kept.
        hash: of what the stream has written of it; None where it wasn't asked for.
    """

    view: str
    version: int
    hash: str | None


@dataclass(frozen=True, slots=True)
class ListedNamespace:
    """One namespace.

    Attributes:
        namespace: its name; "" is the first one.
        serving: whether it is the one that is read.
        job: what its job does, as Flink calls it; None where there is none.
        views: those that it has.
    """

    namespace: str
    serving: bool
    job: str | None
    views: tuple[ListedView, ...]


def listed(settings: Settings, project: Project, *, hashed: bool) -> list[ListedNamespace]:
    """All namespaces of a project; without any beside it, what is declared.

    Raises:
        RetryableError: the store or the cluster doesn't answer.
    """
    store = open_store(settings)
    _, versions = read_versions(store)
    cluster = Cluster.of(settings)
    found = []
    for name in versions.namespaces or {"": {}}:
        held = project_in(versions, name, project)
        jobs = cluster.jobs(job_name(held.full_name))
        views = tuple(
            ListedView(
                view.name, view.version, content_hash(store, view_key(view)) if hashed else None
            )
            for view in held.views.values()
        )
        job = next((one.state for one in jobs), None)
        found.append(ListedNamespace(name, name == versions.serving, job, views))
    return found


def content_hash(store: StateStore, view: str) -> str:
    """A hash of the entities, fields and contents of a stream layer, in whatever order they come.

    It is the sum of the hashes of all, so that nothing has to be sorted or held. Numbers of
    deployments and of events aren't part of it: the same events in a replay give the same hash.
    """
    total = 0
    for entity, field, content in store.contents(view):
        one = hashlib.sha256(len(entity).to_bytes(8) + entity + field.encode() + b"\0" + content)
        total = (total + int.from_bytes(one.digest())) % (1 << _BITS)
    return f"{total:064x}"
