"""Headrace as Feast's offline store: values as of each row's own timestamp."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Final, Literal

import pandas as pd
import pyarrow as pa
from feast import FeatureView, OnDemandFeatureView
from feast.infra.offline_stores import offline_utils
from feast.infra.offline_stores.dask import DaskOfflineStore, DaskOfflineStoreConfig
from feast.infra.offline_stores.file_source import SavedDatasetFileStorage
from feast.infra.offline_stores.offline_store import RetrievalJob, RetrievalMetadata
from feast.repo_config import RepoConfig
from feast.saved_dataset import SavedDatasetStorage, ValidationReference

from headrace_features.definitions.on_demand import AnySelection
from headrace_features.definitions.views import SEPARATOR
from headrace_features.definitions.views import FeatureView as Definition
from headrace_features.engines import load_engine
from headrace_features.feast_plugin.context import project_for, settings_for
from headrace_features.feast_plugin.objects import is_ours
from headrace_features.feast_plugin.registered import (
    registered_definition,
    require_as_registered,
)
from headrace_schemas.errors import BadRecordError, UnsupportedError
from headrace_schemas.reasons import Reason

_EVENT_TIME = "event_time"

_NAME: Final = "headrace_features.feast_plugin.offline_store.HeadraceOfflineStore"


class HeadraceOfflineStoreConfig(DaskOfflineStoreConfig):
    """Settings of the offline store; the engine is said by headrace.toml."""

    # Every store narrows the type to its own name.
    type: Literal["headrace_features.feast_plugin.offline_store.HeadraceOfflineStore"] = _NAME  # type: ignore[assignment]


class HeadraceOfflineStore(DaskOfflineStore):
    """Computes our views by an engine of Headrace; plain views are read as Feast reads files."""

    @staticmethod
    def get_historical_features(  # noqa: PLR0913, PLR0917 - Feast's signature
        config: RepoConfig,
        feature_views: list[FeatureView],
        feature_refs: list[str],
        entity_df: pd.DataFrame | str | None,
        registry: Any,
        project: str,
        full_feature_names: bool = False,  # noqa: FBT001, FBT002 - Feast's signature
        filter_by_created_timestamp: bool = False,  # noqa: FBT001, FBT002 - Feast's signature
        **options: Any,
    ) -> RetrievalJob:
        """Features for the rows of an entity frame, each as of its own timestamp.

        Raises:
            ConfigurationError: the definition of a registered view can't be found, see
                `registered_definition`, or an on-demand view doesn't mean what was registered.
            BadRecordError: there is no frame.
            UnsupportedError: plain views are asked for together with ours.
        """
        ours = [view for view in feature_views if is_ours(view)]
        on_demand = OnDemandFeatureView.get_requested_odfvs(feature_refs, project, registry)
        computed = [view for view in on_demand if is_ours(view)]
        if not ours and not computed:
            return DaskOfflineStore.get_historical_features(
                config,
                feature_views,
                feature_refs,
                entity_df,
                registry,
                project,
                full_feature_names,
                filter_by_created_timestamp,
                **options,
            )
        if len(ours) < len(feature_views):
            plain = ", ".join(view.name for view in feature_views if not is_ours(view))
            message = f"{plain} are plain Feast views, and asked for together with our views"
            raise UnsupportedError(message, hint="ask for them one after the other")
        if not isinstance(entity_df, pd.DataFrame):
            found = "missing" if entity_df is None else type(entity_df).__name__
            message = f"the entity frame is {found}, expected a pandas DataFrame"
            hint = "values are computed for its rows, not for a range of dates"
            raise BadRecordError(Reason.WRONG_TYPE, message, hint=hint)
        known = project_for(config.repo_path)
        for view in computed:
            require_as_registered("on-demand view", view, known.on_demand.get(view.name))
        definitions = {view.name: registered_definition(view, lambda: known) for view in ours}
        names = {view.name for view in (*ours, *computed)}
        wanted = [ref for ref in feature_refs if ref.split(":")[0] in names]
        others = [view for view in on_demand if view not in computed]
        return HeadraceRetrievalJob(
            config, entity_df, wanted, definitions, others, full_feature_names
        )

    def validate_data_source(self, config: RepoConfig, data_source: Any) -> None:
        """Check the files of plain views; our tables come into being with the first ingest."""
        if data_source.name not in project_for(config.repo_path).sources:
            super().validate_data_source(config, data_source)

    @staticmethod
    def pull_latest_from_table_or_query(
        config: RepoConfig, *arguments: Any, **options: Any
    ) -> RetrievalJob:
        """Refuse what plain `feast materialize` asks of our tables, which hold events."""
        return _plain_only(
            DaskOfflineStore.pull_latest_from_table_or_query, config, arguments, options
        )

    @staticmethod
    def pull_all_from_table_or_query(
        config: RepoConfig, *arguments: Any, **options: Any
    ) -> RetrievalJob:
        """Refuse what plain `feast materialize` asks of our tables, which hold events."""
        return _plain_only(
            DaskOfflineStore.pull_all_from_table_or_query, config, arguments, options
        )


def _plain_only(
    call: Callable[..., RetrievalJob], config: RepoConfig, arguments: Any, options: Any
) -> RetrievalJob:
    source = options.get("data_source", arguments[0] if arguments else None)
    project = project_for(config.repo_path)
    if source is not None and source.name in project.sources:
        message = f"{source.name} holds events, from which no rows of values can be materialized"
        hint = "run: headrace materialize; plain views alone: feast materialize --views NAME"
        raise UnsupportedError(message, hint=hint)
    return call(config, *arguments, **options)


class HeadraceRetrievalJob(RetrievalJob):
    """Point-in-time values of an entity frame, computed when they are asked for."""

    def __init__(  # noqa: PLR0913, PLR0917 - what it depends on
        self,
        config: RepoConfig,
        entity_df: pd.DataFrame,
        references: list[str],
        definitions: Mapping[str, Definition],
        on_demand: list[OnDemandFeatureView],
        full_feature_names: bool,  # noqa: FBT001 - as Feast passes it
    ) -> None:
        """Keep what is needed.

        Args:
            config: of the store.
            entity_df: the rows.
            references: "view:feature" of our views only, on-demand ones too.
            definitions: what the views mean that are asked for, as they were registered.
            on_demand: views that Feast computes from the result.
            full_feature_names: whether features are named with their view.
        """
        self._config = config
        self._entity_df = entity_df
        self._references = references
        self._definitions = definitions
        self._on_demand = on_demand
        self._full_feature_names = full_feature_names
        self._time_column = str(
            offline_utils.infer_event_timestamp_from_entity_df(
                dict(zip(entity_df.columns, entity_df.dtypes, strict=True))
            )
        )

    @property
    def full_feature_names(self) -> bool:
        """Whether features are named with their view."""
        return self._full_feature_names

    @property
    def on_demand_feature_views(self) -> list[OnDemandFeatureView]:
        """Views that Feast computes from the result."""
        return self._on_demand

    @property
    def metadata(self) -> RetrievalMetadata:
        """What was asked for."""
        times = self._entity_df[self._time_column]
        return RetrievalMetadata(
            features=self._references,
            keys=[c for c in self._entity_df.columns if c != self._time_column],
            min_event_timestamp=times.min(),
            max_event_timestamp=times.max(),
        )

    def _to_arrow_internal(self, timeout: int | None = None) -> pa.Table:
        del timeout
        entities = pa.Table.from_pandas(self._entity_df, preserve_index=False)
        spine = entities
        if self._time_column != _EVENT_TIME:
            kept = [name for name in entities.column_names if name != _EVENT_TIME]
            spine = entities.select(kept).append_column(_EVENT_TIME, entities[self._time_column])
        settings = settings_for(self._config.repo_path)
        engine = load_engine(settings.engine.default, settings)
        selections = self._selections()
        result = engine.history(selections, spine)
        for name, shown in self._columns(selections).items():
            entities = entities.append_column(shown, result[name])
        return entities

    def to_df(
        self,
        validation_reference: ValidationReference | None = None,
        timeout: int | None = None,
    ) -> pd.DataFrame:
        """The rows with their features, in which our integers are integers beside nulls too.

        Feast's own makes doubles of these, which have 53 bits.
        """
        return self._frame(self.to_arrow(validation_reference, timeout))

    def _to_df_internal(self, timeout: int | None = None) -> pd.DataFrame:
        return self._frame(self._to_arrow_internal(timeout))

    def _frame(self, table: pa.Table) -> pd.DataFrame:
        frame = table.to_pandas().reset_index(drop=True)
        for name in self._columns(self._selections()).values():
            column = table[name]
            if column.null_count and pa.types.is_int64(column.type):
                frame[name] = column.to_pandas(types_mapper={pa.int64(): pd.Int64Dtype()}.get)
        return frame

    def _selections(self) -> tuple[AnySelection, ...]:
        declared = project_for(self._config.repo_path)
        registered = replace(declared, views={**declared.views, **self._definitions})
        return registered.select(self._references)

    def _columns(self, selections: Iterable[AnySelection]) -> dict[str, str]:
        """The features by `view__feature`, as they are named in the result."""
        names = [
            (f"{one.view.name}{SEPARATOR}{name}", name) for one in selections for name in one.names
        ]
        return {full: full if self._full_feature_names else name for full, name in names}

    def persist(
        self,
        storage: SavedDatasetStorage,
        allow_overwrite: bool = False,  # noqa: FBT001, FBT002 - Feast's signature
        timeout: int | None = None,
    ) -> None:
        """Write the result to a Parquet file."""
        if not isinstance(storage, SavedDatasetFileStorage):
            message = f"results are kept in files, not in {type(storage).__name__}"
            raise UnsupportedError(message, hint="use SavedDatasetFileStorage")
        path = Path(storage.file_options.uri)
        if path.exists() and not allow_overwrite:
            message = f"{path} exists"
            raise UnsupportedError(message, hint="pass allow_overwrite=True")
        import pyarrow.parquet as pq

        pq.write_table(self.to_arrow(timeout=timeout), path)
