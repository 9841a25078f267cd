"""The Spark engine: tables are read, computed by the kernel on workers and written by Spark."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import date
from time import perf_counter
from typing import TYPE_CHECKING

from headrace_batch import backfill_spark, history_assembly, history_spark
from headrace_batch.lineage import (
    backfill_outcome,
    backfill_work,
    history_outcome,
    history_work,
)
from headrace_batch.materialize import materialize_view
from headrace_batch.materialize_spark import OnSpark
from headrace_batch.spark_session import spark_session
from headrace_batch.warehouse import Warehouse
from headrace_features.engines import BackfillReport, MaterializeReport, Missed, nothing_missed
from headrace_features.lineage.recording import recorded
from headrace_schemas.tables import features_table

if TYPE_CHECKING:
    import pyarrow as pa

    from headrace_batch.history_spine import SpineRows, Survey
    from headrace_features.definitions.on_demand import AnySelection
    from headrace_features.definitions.views import FeatureView, Selection
    from headrace_schemas.settings import Settings


class SparkEngine:
    """Computes features on Spark; see `headrace_features.engines.Engine`."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._warehouse = Warehouse.of(settings)

    def history(self, selections: Sequence[AnySelection], spine: pa.Table) -> pa.Table:
        """The rows of a spine, in order, with a column `view__feature` for each feature."""
        return history_assembly.history_table(selections, spine, self._features)

    def history_file(self, selections: Sequence[AnySelection], spine: str, out: str) -> int:
        """The same from a Parquet file to a Parquet file; returns the number of rows."""
        options = self._warehouse.storage_options
        work = history_work(self._settings, selections, spine, out)
        with recorded(self._settings, [work]) as runs:
            rows = history_assembly.history_file(selections, spine, out, options, self._features)
            runs.end(work.job, lambda: history_outcome(self._settings, selections, work, rows))
        return rows

    def backfill(self, view: FeatureView, first: date, last: date) -> BackfillReport:
        """Write the features at every event of some days, in place of what was there."""
        began = perf_counter()
        work = backfill_work(self._settings, view)
        with recorded(self._settings, [work]) as runs:
            rows = backfill_spark.backfill(self._settings, self._warehouse, view, first, last)
            report = BackfillReport(
                view=view.name,
                table=self._warehouse.uri(features_table(view.name, view.version)),
                first=first,
                last=last,
                rows=rows,
                seconds=perf_counter() - began,
            )
            runs.end(work.job, lambda: backfill_outcome(self._settings, view, report))
        return report

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

    def _features(
        self, selection: Selection, spine: SpineRows, surveyed: Survey
    ) -> Iterator[pa.Table]:
        # Only now: a spine that is refused, or has no rows, needs no session.
        session = spark_session(self._settings)
        return history_spark.features(session, self._warehouse, selection, spine, surveyed)
