"""The Feast repository of a project: its store, its registry, and what to apply to it."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from datetime import datetime
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import feast
from feast.repo_config import RegistryConfig, RepoConfig

from headrace_features.exclusive import exclusive
from headrace_features.feast_plugin import objects
from headrace_features.feast_plugin.changes import (
    MANAGED_TAG,
    ViewChange,
    refuse_silent_changes,
)
from headrace_features.feast_plugin.context import project_for, remember, settings_for
from headrace_features.feast_plugin.registry_file import pending_changes
from headrace_features.lineage.recording import recorded
from headrace_features.lineage.registration import registration
from headrace_features.project import Project
from headrace_schemas.errors import RetryableError
from headrace_schemas.tables import relative_path

if TYPE_CHECKING:
    from headrace_schemas.settings import Settings

_PLUGIN = "headrace_features.feast_plugin"
REGISTRY_STORE = f"{_PLUGIN}.registry_store.ProjectRegistryStore"
ONLINE_STORE = f"{_PLUGIN}.online_store.HeadraceOnlineStore"
OFFLINE_STORE = f"{_PLUGIN}.offline_store.HeadraceOfflineStore"


def feature_store(settings: Settings, auth: Mapping[str, Any] | None = None) -> feast.FeatureStore:
    """Feast's store for a project; the same as from its feature_store.yaml.

    Args:
        settings: of the project.
        auth: Feast's configuration of authentication, for a server; None is none.
    """
    remember(settings.home, settings)
    settings.feast.registry.parent.mkdir(parents=True, exist_ok=True)
    with warnings.catch_warnings():
        # Feast warns of its own defaults, which a user of ours can't change.
        warnings.simplefilter("ignore")
        config = RepoConfig(
            project=settings.project.name,
            provider="local",
            registry=RegistryConfig(
                path=str(settings.feast.registry), registry_store_type=REGISTRY_STORE
            ),
            online_store={"type": ONLINE_STORE},
            offline_store={"type": OFFLINE_STORE},
            entity_key_serialization_version=3,
            repo_path=settings.home,
            auth={"type": "no_auth"} if auth is None else dict(auth),
        )
        return feast.FeatureStore(config=config)


def declared_objects(repo_path: Path) -> dict[str, Any]:
    """What `feast apply` registers for a repository, by names of a module.

    Raises:
        ConfigurationError: a view has changed without a new version.
    """
    settings, project = settings_for(repo_path), project_for(repo_path)
    refuse_silent_changes(pending_changes(settings, project))
    found = _objects(settings, project)
    return {f"{type(value).__name__}_{value.name}".lower(): value for value in found}


def apply(
    settings: Settings, project: Project, served: Mapping[str, int] = MappingProxyType({})
) -> tuple[ViewChange, ...]:
    """Register a project's definitions, in place of those registered before.

    What was not generated from definitions, such as plain Feast views, stays as it is.

    Args:
        settings: where the registry is.
        project: the definitions.
        served: see `changes`.

    Raises:
        ConfigurationError: a view has changed without a new version; nothing is registered.
    """
    work = registration(settings, project)
    with recorded(settings, [work]), _only_writer(settings.feast.registry):
        return _apply(settings, project, served)


def record_materialization(settings: Settings, view: str, start: datetime, end: datetime) -> None:
    """Note in the registry, as Feast's own materialization does, what the online store has.

    Args:
        settings: where the registry is.
        view: a registered view.
        start, end: the event times of what was materialized.

    Raises:
        RetryableError: an apply is writing the registry.
    """
    with _only_writer(settings.feast.registry):
        store = feature_store(settings)
        store.registry.apply_materialization(
            store.get_feature_view(view), store.project, start, end
        )


def _apply(
    settings: Settings, project: Project, served: Mapping[str, int]
) -> tuple[ViewChange, ...]:
    pending = pending_changes(settings, project, served)
    refuse_silent_changes(pending)
    store = feature_store(settings)
    wanted = _objects(settings, project)
    kept = {(type(value), value.name) for value in (*wanted, *_sources(wanted))}
    registered: list[Any] = [
        *store.list_feature_services(),
        *store.list_on_demand_feature_views(),
        *store.list_feature_views(),
        *store.list_data_sources(),
        *store.list_entities(),
    ]
    dropped = [
        value
        for value in registered
        if (type(value), value.name) not in kept and MANAGED_TAG in value.tags
    ]
    with warnings.catch_warnings():
        # Feast warns that it evaluates on-demand views slowly; ours are evaluated by our stores.
        warnings.filterwarnings("ignore", "On demand feature view", RuntimeWarning)
        store.apply(wanted, objects_to_delete=dropped, partial=False)
    return pending


def _sources(wanted: Iterable[Any]) -> Iterator[Any]:
    """The sources of what is declared, which Feast registers along with it."""
    for value in wanted:
        if isinstance(value, feast.OnDemandFeatureView):
            yield from value.source_request_sources.values()
        elif isinstance(value, feast.FeatureView):
            yield from filter(None, (value.batch_source, value.stream_source))


def _only_writer(registry: Path) -> AbstractContextManager[int]:
    """Hold a lock beside the registry from the check of changes to the write.

    Raises:
        RetryableError: another apply holds it.
    """
    taken = RetryableError(f"another apply is writing the registry {registry}", hint="run it again")
    return exclusive(registry.with_name(f".{registry.name}.lock"), taken)


def _objects(settings: Settings, project: Project) -> list[Any]:
    return objects.registry_objects(
        project, lambda table: f"{settings.warehouse.path}/{relative_path(table)}"
    )
