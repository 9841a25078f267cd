"""Spark job: the rows of a spine with each feature as of the row's own time."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

from headrace_batch.jobs.script import EPILOG, run
from headrace_batch.spark_engine import SparkEngine

if TYPE_CHECKING:
    from headrace_features.project import Project
    from headrace_schemas.settings import Settings


def parser() -> argparse.ArgumentParser:
    """The options of this job."""
    options = argparse.ArgumentParser("history", description=__doc__, epilog=EPILOG)
    options.add_argument("--service", help="a feature service")
    options.add_argument(
        "--feature", action="append", help="view:feature, or a view; again for more"
    )
    options.add_argument(
        "--spine", required=True, help="Parquet file with the join keys and event_time"
    )
    options.add_argument(
        "--out", required=True, help="Parquet file for the rows with their features"
    )
    return options


def history(arguments: argparse.Namespace, settings: Settings, project: Project) -> None:
    """Compute the features, and say how many rows there are."""
    selections = project.select(arguments.feature or (), arguments.service)
    rows = SparkEngine(settings).history_file(selections, arguments.spine, arguments.out)
    sys.stdout.write(f"{rows} rows → {arguments.out}\n")


if __name__ == "__main__":
    run(parser(), history)
