"""Headrace as Feast's online store: state is kept, values are made when they are read."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import Any, Final, Literal

from feast import FeatureService, FeatureView
from feast import utils as feast_utils
from feast.infra.online_stores.sqlite import SqliteOnlineStore, SqliteOnlineStoreConfig
from feast.online_response import OnlineResponse
from feast.protos.feast.types.Value_pb2 import Value as ValueProto
from feast.repo_config import RepoConfig

from headrace_features.definitions import views
from headrace_features.definitions.fingerprint import fingerprint
from headrace_features.feast_plugin.changes import FINGERPRINT_TAG
from headrace_features.feast_plugin.context import project_for, settings_for
from headrace_features.feast_plugin.entity_rows import (
    AS_OF,
    CURRENT,
    columnar,
    current_events,
    entity_values,
    native,
    query_times,
)
from headrace_features.feast_plugin.objects import is_ours
from headrace_features.feast_plugin.responses import fill, value_proto
from headrace_features.online.serving import Query, read_values
from headrace_features.online.sqlite_store import SqliteStateStore
from headrace_schemas.errors import ConfigurationError, UnsupportedError

_NAME: Final = "headrace_features.feast_plugin.online_store.HeadraceOnlineStore"


class HeadraceOnlineStoreConfig(SqliteOnlineStoreConfig):
    """Settings of the online store; where it lies is said by headrace.toml."""

    # Every store narrows the type to its own name.
    type: Literal["headrace_features.feast_plugin.online_store.HeadraceOnlineStore"] = _NAME  # type: ignore[assignment]


class HeadraceOnlineStore(SqliteOnlineStore):
    """Reads our views from entity state; plain Feast views are kept as Feast keeps them.

    `as_of` in an entity row (ms UTC, a datetime or ISO text) asks for values at that time instead
    of now; `current_event` names the event that features with `exclude_current` leave out.
    """

    def __init__(self) -> None:
        """Start without an open connection."""
        super().__init__()
        self.clock_ms: Callable[[], int] = _wall_clock_ms

    def get_online_features(  # noqa: PLR0913, PLR0917 - Feast's signature
        self,
        config: RepoConfig,
        features: list[str] | FeatureService,
        entity_rows: list[dict[str, Any]] | Mapping[str, Any],
        registry: Any,
        project: str,
        full_feature_names: bool = False,  # noqa: FBT001, FBT002 - Feast's signature
        include_feature_view_version_metadata: bool = False,  # noqa: FBT001, FBT002 - Feast's
    ) -> OnlineResponse:
        """Values for entity rows, each at its own `as_of` or now."""
        columns = columnar(entity_rows)
        (
            join_key_values,
            grouped,
            join_keys,
            on_demand,
            references,
            wanted,
            response,
        ) = feast_utils._prepare_entities_to_read_from_online_store(  # noqa: SLF001 - no public one
            registry=registry,
            project=project,
            features=features,
            entity_values={k: v for k, v in columns.items() if k not in {AS_OF, CURRENT}},
            full_feature_names=full_feature_names,
            native_entity_values=True,
        )
        rows = max((len(values) for values in columns.values()), default=0)
        times_ms = query_times(columns.get(AS_OF), rows, self.clock_ms())
        current = current_events(columns.get(CURRENT), rows)
        for table, names in grouped:
            if is_ours(table):
                keys = entity_values(table, join_key_values, join_keys)
                view = _definition(config, table)
                # Feast passes a set through; the order of the declaration is easier to read.
                chosen = [feature for feature in view.features if feature.name in set(names)]
                answers = read_values(
                    _state_store(config),
                    view,
                    [feature.name for feature in chosen],
                    [Query(*query) for query in zip(keys, times_ms, current, strict=True)],
                )
                prefix = f"{table.projection.name_to_use()}__" if full_feature_names else ""
                fill(response, prefix, chosen, answers)
            else:
                self._read_features_per_fv(
                    config,
                    [(table, names)],
                    join_key_values,
                    join_keys,
                    response,
                    full_feature_names,
                    include_feature_view_version_metadata,
                )
        types = self._build_feature_types(grouped)
        if on_demand:
            feast_utils._augment_response_with_on_demand_transforms(  # noqa: SLF001 - no public one
                response, references, on_demand, full_feature_names, feature_types=types
            )
        feast_utils._drop_unneeded_columns(response, wanted)  # noqa: SLF001 - no public one
        return OnlineResponse(response, feature_types=types)

    def online_read(
        self,
        config: RepoConfig,
        table: FeatureView,
        entity_keys: list[Any],
        requested_features: list[str] | None = None,
    ) -> list[tuple[datetime | None, dict[str, ValueProto] | None]]:
        """Values at this moment, in the form in which Feast's stores give them."""
        if not is_ours(table):
            return list(super().online_read(config, table, entity_keys, requested_features))
        view = _definition(config, table)
        names = requested_features or list(view.feature_names)
        now_ms = self.clock_ms()
        queries = [Query(native(key.entity_values[0]), now_ms) for key in entity_keys]
        rows: list[tuple[datetime | None, dict[str, ValueProto] | None]] = []
        for answer in read_values(_state_store(config), view, names, queries):
            if answer.values is None or answer.boundary_ms is None:
                rows.append((None, None))
                continue
            written = datetime.fromtimestamp(answer.boundary_ms / 1000, tz=UTC)
            values = {name: value_proto(view.feature(name), answer.values[name]) for name in names}
            rows.append((written, values))
        return rows

    def online_write_batch(
        self,
        config: RepoConfig,
        table: FeatureView,
        data: list[Any],
        progress: Callable[[int], Any] | None,
    ) -> None:
        """Refuse rows for our views: final values can't be merged."""
        if is_ours(table):
            raise UnsupportedError(
                f"feature view {table.name} keeps state, not rows of values",
                hint=f"run: headrace materialize --view {table.name}",
            )
        super().online_write_batch(config, table, data, progress)

    def update(  # noqa: PLR0913, PLR0917 - Feast's signature
        self,
        config: RepoConfig,
        tables_to_delete: Sequence[FeatureView],
        tables_to_keep: Sequence[FeatureView],
        entities_to_delete: Sequence[Any],
        entities_to_keep: Sequence[Any],
        partial: bool,  # noqa: FBT001 - Feast's signature
    ) -> None:
        """Make and drop the tables of plain views; our state needs none."""
        plain_deleted = [table for table in tables_to_delete if not is_ours(table)]
        plain_kept = [table for table in tables_to_keep if not is_ours(table)]
        if plain_deleted or plain_kept:
            super().update(
                config, plain_deleted, plain_kept, entities_to_delete, entities_to_keep, partial
            )

    def plan(self, config: RepoConfig, desired_registry_proto: Any) -> list[Any]:
        """The tables that plain views need."""
        ours = tuple(
            f"_{view.spec.name}"
            for view in desired_registry_proto.feature_views
            if FINGERPRINT_TAG in view.spec.tags
        )
        wanted = super().plan(config, desired_registry_proto)
        return [table for table in wanted if not table.name.endswith(ours)] if ours else wanted

    def teardown(
        self, config: RepoConfig, tables: Sequence[FeatureView], entities: Sequence[Any]
    ) -> None:
        """Remove everything that is kept online."""
        del tables, entities
        _state_store(config).remove()
        Path(self._get_db_path(config)).unlink(missing_ok=True)

    @staticmethod
    def _get_db_path(config: RepoConfig) -> str:
        """Plain views are kept beside our state, in a file of their own."""
        path = settings_for(config.repo_path).online.path
        path.parent.mkdir(parents=True, exist_ok=True)
        return str(path.with_suffix(".feast.db"))


def _state_store(config: RepoConfig) -> SqliteStateStore:
    return _store_at(settings_for(config.repo_path).online.path)


@lru_cache(maxsize=16)
def _store_at(path: Path) -> SqliteStateStore:
    return SqliteStateStore(path)


def _definition(config: RepoConfig, table: FeatureView) -> views.FeatureView:
    """Our definition of a registered view; its meaning has to be what was registered."""
    view = project_for(config.repo_path).view(table.name)
    if fingerprint(view) != table.tags[FINGERPRINT_TAG]:
        raise ConfigurationError(
            f"feature view {table.name} is not registered as it is declared",
            hint="run: headrace plan, then headrace apply",
        )
    return view


def _wall_clock_ms() -> int:
    return time.time_ns() // 1_000_000
