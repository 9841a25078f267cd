"""Deletes a version that isn't served, and all that was kept for it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from headrace_features.online.live import project_in
from headrace_features.online.served import view_key
from headrace_features.online.store import layers_of
from headrace_features.online.stores import open_store
from headrace_features.online.versions import change_versions, read_versions, spelled
from headrace_orchestration.needed_work import streamed_views
from headrace_orchestration.versions.exclusion import alone_with_versions
from headrace_orchestration.versions.listing import is_registered, layers_apart
from headrace_orchestration.versions.promotion import require_known, unfinished
from headrace_schemas.errors import ConfigurationError
from headrace_schemas.topics import DECISIONS, LATE_EVENTS, Topic, topic_apart
from headrace_streaming.job.assembly import job_name
from headrace_streaming.job.cluster import Cluster
from headrace_streaming.job.deployment import end_history
from headrace_streaming.job.last_state import remember
from headrace_streaming.kafka.clients import kafka_config
from headrace_streaming.kafka.topics import delete_topics, updates_in

if TYPE_CHECKING:
    from headrace_batch.kept_layers import KeptLayer
    from headrace_features.online.versions import Versions
    from headrace_features.project import Project
    from headrace_schemas.settings import Settings


def drop_namespace(settings: Settings, project: Project, namespace: str) -> None:
    """Delete a namespace, or a batch layer that belongs to none; it may be repeated.

    Args:
        settings: which store, broker and cluster.
        project: the declared definitions.
        namespace: its name, or what the batch layer is called in the list.

    Raises:
        ConfigurationError: there is no such namespace, or it is served.
        RetryableError: another command is at it, or something doesn't answer.
    """
    with alone_with_versions(settings, project):
        store = open_store(settings, namespace)
        _, versions = read_versions(store)
        if namespace not in versions.namespaces:
            for layer in layers_apart(settings, project, versions):
                if layer.name == namespace:
                    _require_unused(settings, project, versions, layer)
                    # The progress of no stream has that name.
                    store.drop([layer.key])
                    return
        require_known(versions, namespace)
        if versions.serving == namespace:
            raise ConfigurationError(
                f"{spelled(namespace)} is the one that is served",
                hint="serve another first: headrace promote, headrace rollback",
            )
        begun = versions.switch
        if begun is not None and namespace in {begun.to, begun.former}:
            raise unfinished(begun)
        held = project_in(versions, namespace, project)
        cluster = Cluster.of(settings)
        end_history(cluster, held)
        job = cluster.find(job_name(held.full_name))
        if job is not None:
            cluster.cancel(job)
        remember(settings.home, held.full_name, None)
        own = [topic_apart(one, project.name, namespace) for one in (DECISIONS, LATE_EVENTS)]
        if namespace:
            # The first one's has the updates of other projects, too.
            own.append(updates_in(held))
        delete_topics(kafka_config(settings), [Topic(name, key="") for name in own])
        store.drop([view_key(view) for view in held.views.values()])
        # Last: before that a command which is repeated still finds it.
        change_versions(store, lambda now: now.without(namespace))


def _require_unused(
    settings: Settings, project: Project, versions: Versions, layer: KeptLayer
) -> None:
    """See that nobody reads a batch layer, nor writes to the view.

    Raises:
        ConfigurationError: somebody does, or may.
    """
    if is_registered(settings, layer):
        raise ConfigurationError(
            f"{layer.name} is the version that Feast has registered",
            hint="register another first: headrace apply",
        )
    if layers_of(open_store(settings), [layer.key])[layer.key].stream is not None:
        streamed = streamed_views(settings, project, versions)
        if streamed is None or layer.key in streamed:
            raise ConfigurationError(
                f"a stream writes to {layer.name}, or may do so",
                hint="deploy what is declared first, with the services up: headrace stream deploy",
            )
