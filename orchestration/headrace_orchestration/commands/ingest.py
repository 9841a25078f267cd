"""`headrace ingest`: events from files or topics into their tables, once each."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from headrace_orchestration.beside_streams import note_beside_streams
from headrace_orchestration.commands.backfill import EngineName
from headrace_orchestration.commands.ingest_kafka import ingest_kafka
from headrace_orchestration.output import (
    JsonOption,
    console,
    print_json,
    print_table,
    progress,
)
from headrace_orchestration.session import current_project
from headrace_schemas.errors import ConfigurationError

if TYPE_CHECKING:
    from headrace_batch.ingest.report import IngestReport
    from headrace_features.project import Project

File = Annotated[
    str | None, typer.Option("--file", help="A file, a folder or a pattern in quotes.")
]
FromKafka = Annotated[
    bool, typer.Option("--from-kafka", help="The topics of the event sources, on Spark.")
]
SkipLost = Annotated[
    bool,
    typer.Option(
        "--skip-lost", help="With --from-kafka: go on without records that the broker deleted."
    ),
]
Format = Annotated[
    str | None,
    typer.Option("--format", help="parquet, csv, jsonl or handbook. Default: by the ending."),
]
Source = Annotated[
    str | None,
    typer.Option(help="The event source. Default: the only one, by --format, or all topics."),
]


def ingest(  # noqa: PLR0913, PLR0917 - one for each option
    file: File = None,
    from_kafka: FromKafka = False,
    format: Format = None,  # noqa: A002 - the option's name
    source: Source = None,
    engine: EngineName = None,
    skip_lost: SkipLost = False,
    as_json: JsonOption = False,
) -> None:
    """Append events to their Delta table, each once however often this runs.

    Rows that break the contract or a rule of their source are kept aside with their reasons.
    """
    if from_kafka:
        _refuse_with_kafka(file=file, format=format, engine=engine)
        ingest_kafka(source, skip_lost=skip_lost, as_json=as_json)
        return
    if file is None or skip_lost:
        lacks = "--from-kafka" if skip_lost else "--file or --from-kafka"
        raise ConfigurationError(
            f"headrace ingest needs {lacks}", hint="see headrace ingest --help"
        )
    settings, project = current_project()
    chosen = engine or settings.engine.default
    with progress(f"ingest {file}", quiet=as_json) as advance:
        if chosen == "spark":
            from headrace_batch.ingest.spark_run import ingest_on_spark

            report = ingest_on_spark(settings, project, file, file_format=format, source=source)
        elif chosen == "local":
            from headrace_batch.ingest.run import ingest as ingest_here

            report = ingest_here(
                settings,
                project,
                file,
                file_format=format,
                source=source,
                on_progress=lambda done, _: advance(done),
            )
        else:
            raise ConfigurationError.unknown("engine", chosen, ("local", "spark"))
    if as_json:
        print_json(_described(report))
    else:
        _show(report, project)
    if any(one.ingested for one in report.sources):
        note_beside_streams(settings, project, {one.source for one in report.sources})
    failure = report.failure()
    if failure is not None:
        raise failure


def _refuse_with_kafka(*, file: str | None, format: str | None, engine: str | None) -> None:  # noqa: A002 - the option's name
    """Raise ConfigurationError for options that say something else than Kafka, on Spark."""
    given = {"--file": file, "--format": format, "--engine": None if engine == "spark" else engine}
    for option, value in given.items():
        if value is not None:
            raise ConfigurationError(
                f"{option} {value} can't go with --from-kafka, which takes topics in by Spark",
                hint="leave one of them out",
            )


def _show(report: IngestReport, project: Project) -> None:
    print_table(
        None,
        ("source", "rows", "ingested", "duplicates", "rejected", "already ingested"),
        [
            (
                s.source,
                s.rows,
                s.ingested,
                s.duplicates,
                s.rejected_rows,
                s.already_ingested,
            )
            for s in report.sources
        ],
    )
    from headrace_features.row_rules import meaning_of

    out = console()
    for source in report.sources:
        out.print(f"{source.table} → {source.table_uri}", soft_wrap=True)
        declared = project.source(source.source)
        for reason, rows in source.rejected.items():
            out.print(f"{rows:,} rejected as {reason}: {meaning_of(declared, reason)}")
        for reason, rows in source.already_rejected.items():
            out.print(f"{rows:,} already rejected as {reason}: {meaning_of(declared, reason)}")
        if source.rejected or source.already_rejected:
            out.print(
                f"  kept, with their columns and reasons, in {source.quarantine_table_uri}",
                soft_wrap=True,
            )
    out.print(f"{report.rows:,} rows in {report.seconds:.1f} s")


def _described(report: IngestReport) -> dict[str, Any]:
    return {
        "files": list(report.files),
        "format": report.format,
        "rows": report.rows,
        "seconds": report.seconds,
        "rows_per_second": report.rows_per_s,
        "sources": [
            {
                "source": source.source,
                "table": source.table_uri,
                "quarantine_table": source.quarantine_table_uri,
                "rows": source.rows,
                "ingested": source.ingested,
                "duplicates": source.duplicates,
                "rejected": dict(source.rejected),
                "already_ingested": source.already_ingested,
                "already_rejected": dict(source.already_rejected),
            }
            for source in report.sources
        ],
    }
