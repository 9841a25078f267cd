"""The in-process engine: tables are read, computed by the kernel and written without Spark."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import date
from functools import partial
from typing import TYPE_CHECKING

from headrace_batch import backfill_local, history_assembly, history_local, recorded_steps
from headrace_batch.local_spill import workspace_of
from headrace_batch.materialize import materialize_view
from headrace_batch.warehouse import Warehouse
from headrace_features.engines import (
    BackfillReport,
    MaterializeReport,
    Missed,
    nothing_asked,
    nothing_missed,
)

if TYPE_CHECKING:
    import pyarrow as pa

    from headrace_batch.history_assembly import Computation
    from headrace_features.definitions.on_demand import AnySelection
    from headrace_features.definitions.views import FeatureView
    from headrace_schemas.settings import Settings


class LocalEngine:
    """Computes features in this process; see `headrace_features.engines.Engine`."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._warehouse = Warehouse.of(settings)
        self._workspace = workspace_of(settings.home)

    def history(
        self,
        selections: Sequence[AnySelection],
        spine: pa.Table,
        versions: Mapping[str, int] | None = None,
    ) -> pa.Table:
        """The rows of a spine, in order, with a column `view__feature` for each feature."""
        return history_assembly.history_table(selections, spine, self._features(versions))

    def history_file(
        self,
        selections: Sequence[AnySelection],
        spine: str,
        out: str,
        versions: Mapping[str, int] | None = None,
    ) -> int:
        """The same from a Parquet file to a Parquet file; returns the number of rows."""
        features = self._features(versions)
        return recorded_steps.history_file(self._settings, selections, spine, out, features)

    def materialize(
        self,
        view: FeatureView,
        last: date,
        advance: Callable[[int], None],
        *,
        streamed: bool = False,
        missed: Callable[[int], Mapping[bytes, Missed]] = nothing_missed,
    ) -> MaterializeReport:
        """Bring the batch layer up to the end of a day; readers see it when it is whole."""
        return materialize_view(
            self._settings, view, last, advance, streamed=streamed, missed=missed
        )

    def backfill(
        self,
        view: FeatureView,
        first: date,
        last: date,
        asked: Callable[[int], None] = nothing_asked,
    ) -> BackfillReport:
        """Write the features at every event of some days, in place of what was there."""
        return recorded_steps.backfill(
            self._settings,
            view,
            (first, last),
            lambda: backfill_local.backfill(
                self._warehouse, self._workspace, view, first, last, asked
            ),
        )

    def _features(self, versions: Mapping[str, int] | None) -> Computation:
        warehouse = replace(self._warehouse, versions=versions or {})
        return partial(history_local.features, warehouse, self._workspace)
