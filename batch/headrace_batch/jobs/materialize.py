"""Spark job: bring the batch layers of the online store up to the end of a day."""

from __future__ import annotations

import argparse
import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from headrace_batch.jobs.script import EPILOG, run
from headrace_batch.materialize_plans import plans_of
from headrace_batch.spark_engine import SparkEngine
from headrace_features.engines import unwatched
from headrace_features.online.live import live_project
from headrace_schemas.days import parse_begun_day

if TYPE_CHECKING:
    from headrace_features.project import Project
    from headrace_schemas.settings import Settings


def parser() -> argparse.ArgumentParser:
    """The options of this job."""
    options = argparse.ArgumentParser("materialize", description=__doc__, epilog=EPILOG)
    options.add_argument(
        "--view", action="append", help="a feature view; again for more (default: all)"
    )
    options.add_argument(
        "--date", help="last day to hold, UTC (default: the newest that the lake has whole)"
    )
    return options


def materialize(arguments: argparse.Namespace, settings: Settings, project: Project) -> None:
    """Materialize each view, and say what was written."""
    engine = SparkEngine(settings)
    day = arguments.date and parse_begun_day(arguments.date, "--date", datetime.now(UTC))
    live = live_project(settings, project)
    for view, last, streamed in plans_of(settings, live, arguments.view or [], day):
        if last is None:
            sys.stdout.write(f"{view.name} was left out: its source has no whole day yet\n")
            continue
        report = engine.materialize(view, last, unwatched, streamed=streamed)
        sys.stdout.write(
            f"{report.view}: {report.events} new events of {report.entities} entities, up to "
            f"{report.boundary:%Y-%m-%d %H:%M} UTC, in {report.seconds:.1f} s\n"
        )


if __name__ == "__main__":
    run(parser(), materialize)
