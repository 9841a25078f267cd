"""Spark job: write point-in-time values for every event of some days."""

from __future__ import annotations

import argparse
import sys
from datetime import date
from functools import partial
from typing import TYPE_CHECKING

from headrace_batch.days import days_with_events
from headrace_batch.history_increment import bring_up_to
from headrace_batch.jobs.script import EPILOG, run
from headrace_batch.quality.standing_gates import require_history_gate
from headrace_batch.spark_engine import SparkEngine
from headrace_batch.warehouse import Warehouse

if TYPE_CHECKING:
    from headrace_features.definitions.views import FeatureView
    from headrace_features.engines import BackfillReport
    from headrace_features.project import Project
    from headrace_schemas.settings import Settings


def parser() -> argparse.ArgumentParser:
    """The options of this job."""
    options = argparse.ArgumentParser("backfill", description=__doc__, epilog=EPILOG)
    options.add_argument(
        "--view", action="append", help="a feature view; again for more (default: all)"
    )
    options.add_argument(
        "--start", type=date.fromisoformat, help="first day, UTC (default: the first with events)"
    )
    options.add_argument(
        "--end", type=date.fromisoformat, help="last day, UTC (default: the last with events)"
    )
    options.add_argument(
        "--date",
        type=date.fromisoformat,
        help="bring the history up to the end of a day, UTC: days that are new, and those of which"
        " events have come since; without --start and --end",
    )
    return options


def backfill(arguments: argparse.Namespace, settings: Settings, project: Project) -> None:
    """Backfill each view, and say what was written."""
    engine = SparkEngine(settings)
    views = [project.view(name) for name in arguments.view or project.views]
    for view in views:
        for report in _written(arguments, settings, engine, view):
            sys.stdout.write(
                f"{report.view}: {report.rows} rows from {report.first} to {report.last} "
                f"in {report.seconds:.1f} s → {report.table}\n"
            )


def _written(
    arguments: argparse.Namespace, settings: Settings, engine: SparkEngine, view: FeatureView
) -> list[BackfillReport]:
    if arguments.date is not None:
        gate = partial(require_history_gate, settings, view, arguments.date)
        gate()
        write = partial(engine.backfill, view, asked=gate)
        return bring_up_to(Warehouse.of(settings), view, arguments.date, write)
    first, last = days_with_events(settings, view.source)
    return [engine.backfill(view, arguments.start or first, arguments.end or last)]


if __name__ == "__main__":
    run(parser(), backfill)
