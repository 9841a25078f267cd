"""Headrace as Feast's online store: state is kept, values are made when they are read."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final, Literal

from feast import FeatureService, FeatureView
from feast.infra.online_stores.online_store import OnlineStore
from feast.infra.supported_async_methods import SupportedAsyncMethods
from feast.online_response import OnlineResponse
from feast.protos.feast.types.Value_pb2 import Value as ValueProto
from feast.repo_config import FeastConfigBaseModel, RepoConfig

from headrace_features.feast_plugin import pushes
from headrace_features.feast_plugin.changes import FINGERPRINT_TAG
from headrace_features.feast_plugin.context import settings_for
from headrace_features.feast_plugin.entity_rows import (
    columnar,
    native,
)
from headrace_features.feast_plugin.mixed import FeastRequest, answer
from headrace_features.feast_plugin.native import NativeRequest, NativeResponse, reading_of
from headrace_features.feast_plugin.objects import is_ours, terms_of
from headrace_features.feast_plugin.opened import Opened
from headrace_features.feast_plugin.plain_store import PlainStore
from headrace_features.feast_plugin.responses import event_time_ms, value_proto
from headrace_features.online.layers import NO_LAYERS
from headrace_features.online.served import Query, ViewQuery
from headrace_features.online.store import AsyncReads
from headrace_schemas.errors import UnsupportedError

_NAME: Final = "headrace_features.feast_plugin.online_store.HeadraceOnlineStore"

# Every configuration that names this store imports it, before Feast makes a store of its own.
pushes.install()


class HeadraceOnlineStoreConfig(FeastConfigBaseModel):
    """Settings of the online store; what it is and where it lies is said by headrace.toml."""

    type: Literal["headrace_features.feast_plugin.online_store.HeadraceOnlineStore"] = _NAME


class HeadraceOnlineStore(OnlineStore):
    """Reads our views from entity state; plain Feast views are kept as Feast keeps them.

    Reserved keys of entity rows: `as_of` (ms UTC, a datetime or ISO text) asks for values at that
    time instead of now; `current_event` names the event that features with `exclude_current` leave
    out; `freshness`, if true, adds to each view a column that says how fresh its values are.
    """

    def __init__(self) -> None:
        """Start without an open connection."""
        super().__init__()
        self.clock_ms: Callable[[], int] = _wall_clock_ms
        self._opened: Opened | None = None
        self._asynchronous = False

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
        """Values for entity rows, each at its own `as_of` or now; ours in one round trip."""
        columns = columnar(entity_rows)
        opened = self._of(config)
        asked = FeastRequest.of(
            features, registry, project, full_feature_names, include_feature_view_version_metadata
        )
        request = self._native(opened, asked)
        if request is None:
            return answer(opened, asked, columns, self.clock_ms(), self._build_feature_types)
        reading = reading_of(request, opened.on_demand, columns, self.clock_ms())
        answers = opened.server.read(reading.queries, terms_of(features))
        return NativeResponse(reading, answers, versions=asked.versions)

    async def get_online_features_async(  # noqa: PLR0913, PLR0917 - Feast's signature
        self,
        config: RepoConfig,
        features: list[str] | FeatureService,
        entity_rows: list[dict[str, Any]] | Mapping[str, Any],
        registry: Any,
        project: str,
        full_feature_names: bool = False,  # noqa: FBT001, FBT002 - Feast's signature
        include_feature_view_version_metadata: bool = False,  # noqa: FBT001, FBT002 - Feast's
    ) -> OnlineResponse:
        """The same without a thread that waits, if the store can; else in one."""
        columns = columnar(entity_rows)
        opened = self._of(config)
        asked = FeastRequest.of(
            features, registry, project, full_feature_names, include_feature_view_version_metadata
        )
        request = self._native(opened, asked)
        store = opened.server.store
        if request is None:
            return await asyncio.to_thread(
                answer, opened, asked, columns, self.clock_ms(), self._build_feature_types
            )
        reading = reading_of(request, opened.on_demand, columns, self.clock_ms())
        terms = terms_of(features)
        if isinstance(store, AsyncReads):
            answers = await opened.server.read_async(store, reading.queries, terms)
        else:
            answers = await asyncio.to_thread(opened.server.read, reading.queries, terms)
        return NativeResponse(reading, answers, versions=asked.versions)

    @property
    def async_supported(self) -> SupportedAsyncMethods:
        """Whether servers are to read without threads: known once Feast has initialized us."""
        return SupportedAsyncMethods(read=self._asynchronous)

    async def initialize(self, config: RepoConfig) -> None:
        """Look which kind of store there is; nothing is connected."""
        self._asynchronous = settings_for(config.repo_path).online.type == "redis"

    async def close(self) -> None:
        """End the connections of the running event loop."""
        if self._opened is not None and isinstance(self._opened.server.store, AsyncReads):
            await self._opened.server.store.aclose()

    def _native(self, opened: Opened, asked: FeastRequest) -> NativeRequest | None:
        return opened.native(
            asked.context, self._build_feature_types, full_feature_names=asked.full_feature_names
        )

    def online_read(
        self,
        config: RepoConfig,
        table: FeatureView,
        entity_keys: list[Any],
        requested_features: list[str] | None = None,
    ) -> list[tuple[datetime | None, dict[str, ValueProto] | None]]:
        """Values at this moment, in the form in which Feast's stores give them."""
        if not is_ours(table):
            plain = self._of(config).plain
            return list(
                plain.store.online_read(plain.config, table, entity_keys, requested_features)
            )
        names = frozenset(requested_features) if requested_features else None
        served = self._of(config).served(table, names)
        now_ms = self.clock_ms()
        queries = [Query(native(key.entity_values[0]), now_ms) for key in entity_keys]
        (answered,) = self._of(config).server.read([ViewQuery(served, queries)])
        if answered.layers == NO_LAYERS:
            return [(None, None)] * len(queries)
        written = datetime.fromtimestamp(max(event_time_ms(answered.layers), 0) / 1000, tz=UTC)
        asked = served.asked.features
        return [
            (
                written,
                {f.name: value_proto(f.type, v) for f, v in zip(asked, answer.values, strict=True)},
            )
            for answer in answered.answers
        ]

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
        plain = self._of(config).plain
        plain.store.online_write_batch(plain.config, table, data, progress)

    async def online_read_async(
        self,
        config: RepoConfig,
        table: FeatureView,
        entity_keys: list[Any],
        requested_features: list[str] | None = None,
    ) -> list[tuple[datetime | None, dict[str, ValueProto] | None]]:
        """The same in a thread."""
        return await asyncio.to_thread(
            self.online_read, config, table, entity_keys, requested_features
        )

    async def online_write_batch_async(
        self,
        config: RepoConfig,
        table: FeatureView,
        data: list[Any],
        progress: Callable[[int], Any] | None,
    ) -> None:
        """The same in a thread: the connections of Feast's own store belong to one event loop."""
        await asyncio.to_thread(self.online_write_batch, config, table, data, progress)

    def update(  # noqa: PLR0913, PLR0917 - Feast's signature
        self,
        config: RepoConfig,
        tables_to_delete: Sequence[FeatureView],
        tables_to_keep: Sequence[FeatureView],
        entities_to_delete: Sequence[Any],
        entities_to_keep: Sequence[Any],
        partial: bool,  # noqa: FBT001 - Feast's signature
    ) -> None:
        """Make and drop what plain views need; our state needs nothing."""
        plain_deleted = [table for table in tables_to_delete if not is_ours(table)]
        plain_kept = [table for table in tables_to_keep if not is_ours(table)]
        if plain_deleted or plain_kept:
            plain = self._of(config).plain
            plain.store.update(
                plain.config,
                plain_deleted,
                plain_kept,
                entities_to_delete,
                entities_to_keep,
                partial,
            )

    def plan(self, config: RepoConfig, desired_registry_proto: Any) -> list[Any]:
        """What plain views need."""
        ours = tuple(
            f"_{view.spec.name}"
            for view in desired_registry_proto.feature_views
            if FINGERPRINT_TAG in view.spec.tags
        )
        plain = self._of(config).plain
        wanted = plain.store.plan(plain.config, desired_registry_proto)
        return [table for table in wanted if not table.name.endswith(ours)] if ours else wanted

    def teardown(
        self, config: RepoConfig, tables: Sequence[FeatureView], entities: Sequence[Any]
    ) -> None:
        """Remove everything that is kept online."""
        self._of(config).server.store.remove()
        plain = self._of(config).plain
        plain.store.teardown(
            plain.config, [table for table in tables if not is_ours(table)], entities
        )

    def retrieve_online_documents(
        self, config: RepoConfig, table: FeatureView, *arguments: Any, **options: Any
    ) -> list[Any]:
        """Similar documents of a plain view; ours have none."""
        plain = self._only_plain(config, table)
        return plain.store.retrieve_online_documents(plain.config, table, *arguments, **options)

    def retrieve_online_documents_v2(
        self, config: RepoConfig, table: FeatureView, *arguments: Any, **options: Any
    ) -> list[Any]:
        """Similar documents of a plain view; ours have none."""
        plain = self._only_plain(config, table)
        return plain.store.retrieve_online_documents_v2(plain.config, table, *arguments, **options)

    def _only_plain(self, config: RepoConfig, table: FeatureView) -> PlainStore:
        if is_ours(table):
            raise UnsupportedError(f"feature view {table.name} has no vectors to search")
        return self._of(config).plain

    def _of(self, config: RepoConfig) -> Opened:
        """What belongs to a configuration; Feast gives a store the same one at each call."""
        if self._opened is None or self._opened.config is not config:
            self._opened = Opened(config)
        return self._opened


def _wall_clock_ms() -> int:
    return time.time_ns() // 1_000_000
