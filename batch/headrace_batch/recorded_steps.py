"""Steps that both engines do alike, but for what computes: recorded, and reported."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from time import perf_counter
from typing import TYPE_CHECKING

from headrace_batch import history_assembly
from headrace_batch.lineage import backfill_outcome, backfill_work, history_outcome, history_work
from headrace_batch.warehouse import Warehouse
from headrace_features.engines import BackfillReport
from headrace_features.lineage.recording import recorded
from headrace_schemas.tables import features_table

if TYPE_CHECKING:
    from datetime import date

    from headrace_batch.history_assembly import Computation
    from headrace_features.definitions.on_demand import AnySelection
    from headrace_features.definitions.views import FeatureView
    from headrace_schemas.settings import Settings


def history_file(
    settings: Settings,
    selections: Sequence[AnySelection],
    spine: str,
    out: str,
    features: Computation,
) -> int:
    """Add features to a spine, from a Parquet file to a Parquet file; the number of rows."""
    options = settings.warehouse.storage_options
    work = history_work(settings, selections, spine, out)
    with recorded(settings, [work]) as runs:
        rows = history_assembly.history_file(selections, spine, out, options, features)
        runs.end(work.job, lambda: history_outcome(settings, selections, work, rows))
    return rows


def backfill(
    settings: Settings,
    view: FeatureView,
    days: tuple[date, date],
    write: Callable[[], int],
) -> BackfillReport:
    """Write the history of some days, both included.

    Args:
        settings: where the tables are.
        view: the definition.
        days: the first and the last.
        write: does it; the number of rows.
    """
    began = perf_counter()
    work = backfill_work(settings, view)
    with recorded(settings, [work]) as runs:
        rows = write()
        report = BackfillReport(
            view=view.name,
            table=Warehouse.of(settings).uri(features_table(view.name, view.version)),
            first=days[0],
            last=days[1],
            rows=rows,
            seconds=perf_counter() - began,
        )
        runs.end(work.job, lambda: backfill_outcome(settings, view, report))
    return report
