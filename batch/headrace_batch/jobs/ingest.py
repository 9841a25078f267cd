"""Spark job: take files of events into their tables, each event once."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

from headrace_batch.ingest.input_files import FORMATS
from headrace_batch.ingest.spark_run import ingest_on_spark
from headrace_batch.jobs.script import EPILOG, run

if TYPE_CHECKING:
    from headrace_features.project import Project
    from headrace_schemas.settings import Settings


def parser() -> argparse.ArgumentParser:
    """The options of this job."""
    options = argparse.ArgumentParser("ingest", description=__doc__, epilog=EPILOG)
    options.add_argument(
        "--file", required=True, help="a file, a folder or a glob that all workers can read"
    )
    options.add_argument("--format", help=f"{', '.join(FORMATS)} (default: by the suffix)")
    options.add_argument("--source", help="an event source (default: the only one)")
    options.add_argument(
        "--again",
        action="store_true",
        help="take files in though they were before, for rows that were set aside since",
    )
    return options


def ingest(arguments: argparse.Namespace, settings: Settings, project: Project) -> None:
    """Ingest the files, and say what became of their rows."""
    report = ingest_on_spark(
        settings,
        project,
        arguments.file,
        file_format=arguments.format,
        source=arguments.source,
        again=arguments.again,
    )
    for source in report.sources:
        sys.stdout.write(
            f"{source.source}: {source.ingested} of {source.rows} rows, {source.duplicates} "
            f"duplicates, {source.rejected_rows} rejected, {source.already_ingested} already "
            f"ingested, {sum(source.already_rejected.values())} of them rejected, "
            f"in {report.seconds:.1f} s → {source.table_uri}\n"
        )
    if report.ignored_columns:
        sys.stdout.write(f"ignored columns: {', '.join(report.ignored_columns)}\n")
    failure = report.failure()
    if failure is not None:
        raise failure


if __name__ == "__main__":
    run(parser(), ingest)
