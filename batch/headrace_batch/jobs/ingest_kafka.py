"""Spark job: take the topics of event sources into their tables, each event once."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

from headrace_batch.ingest.topic_run import ingest_topics
from headrace_batch.jobs.script import EPILOG, run
from headrace_schemas.errors import ConfigurationError
from headrace_schemas.setting_table import EMBEDDED

if TYPE_CHECKING:
    from headrace_features.project import Project
    from headrace_schemas.settings import Settings


def parser() -> argparse.ArgumentParser:
    """The options of this job."""
    options = argparse.ArgumentParser("ingest_kafka", description=__doc__, epilog=EPILOG)
    options.add_argument("--source", help="an event source (default: all of them)")
    options.add_argument(
        "--skip-lost",
        action="store_true",
        help="go on without records that the broker has deleted before they were read",
    )
    return options


def ingest_kafka(arguments: argparse.Namespace, settings: Settings, project: Project) -> None:
    """Ingest the topics, and say what became of their records."""
    servers = settings.kafka.bootstrap_servers
    if servers == EMBEDDED:
        raise ConfigurationError(
            "which broker has the topics? this script doesn't know the embedded one",
            hint="set HEADRACE_KAFKA_BOOTSTRAP_SERVERS; headrace status tells its address",
        )
    report = ingest_topics(
        settings,
        project,
        {**settings.kafka.options, "bootstrap.servers": servers},
        source=arguments.source,
        skip_lost=arguments.skip_lost,
    )
    for source in report.sources:
        sys.stdout.write(
            f"{source.source}: {source.ingested} of {source.rows} rows, {source.duplicates} "
            f"duplicates, {source.rejected_rows} rejected, {source.already_ingested} already "
            f"ingested → {source.table_uri}, which has everything before the offsets "
            f"{dict(source.covered)}\n"
        )
        for note in source.notes:
            sys.stdout.write(f"{source.source}: {note}\n")


if __name__ == "__main__":
    run(parser(), ingest_kafka)
