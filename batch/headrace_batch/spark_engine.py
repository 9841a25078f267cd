"""The Spark engine: tables are read, computed by the kernel on workers and written by Spark."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import date
from typing import TYPE_CHECKING

from headrace_batch import backfill_spark, history_assembly, history_spark, recorded_steps
from headrace_batch.materialize import materialize_view
from headrace_batch.materialize_spark import OnSpark
from headrace_batch.spark_session import spark_session
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
    from headrace_batch.history_spine import SpineRows, Survey
    from headrace_features.definitions.on_demand import AnySelection
    from headrace_features.definitions.views import FeatureView, Selection
    from headrace_schemas.settings import Settings


class SparkEngine:
    """Computes features on Spark; see `headrace_features.engines.Engine`."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._warehouse = Warehouse.of(settings)

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
            lambda: backfill_spark.backfill(
                self._settings, self._warehouse, view, first, last, asked
            ),
        )

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
        maker = OnSpark(self._settings)
        return materialize_view(
            self._settings, view, last, advance, maker=maker, streamed=streamed, missed=missed
        )

    def _features(self, versions: Mapping[str, int] | None) -> Computation:
        warehouse = replace(self._warehouse, versions=versions or {})

        def features(
            selection: Selection, spine: SpineRows, surveyed: Survey
        ) -> Iterator[pa.Table]:
            # Only now: a spine that is refused, or has no rows, needs no session.
            session = spark_session(self._settings)
            return history_spark.features(session, warehouse, selection, spine, surveyed)

        return features
