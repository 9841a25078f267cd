"""What `headrace ingest` does and prints where events come from files."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from headrace_orchestration.beside_streams import note_beside_streams
from headrace_orchestration.output import console, print_table, progress
from headrace_schemas.counted import counted
from headrace_schemas.errors import ConfigurationError

if TYPE_CHECKING:
    from headrace_batch.ingest.report import IngestReport
    from headrace_features.project import Project
    from headrace_schemas.settings import Settings


def ingest_files(  # noqa: PLR0913 - all but the first three are named
    settings: Settings,
    project: Project,
    place: str,
    *,
    file_format: str | None,
    source: str | None,
    engine: str | None,
    quiet: bool,
    arrived_ms: int | None = None,
    again: bool = False,
) -> IngestReport:
    """Take files into the tables of their sources; a stream that lacks them is noted.

    Args are those of `headrace_batch.ingest.run.ingest`, the name of an engine, and whether nothing
    is to show that work goes on.

    Raises:
        ConfigurationError: the options or the files are wrong.
        RetryableError: other writers were in the way.
    """
    chosen = engine or settings.engine.default
    with progress(f"ingest {place}", quiet=quiet) as advance:
        if chosen == "spark":
            from headrace_batch.ingest.spark_run import ingest_on_spark

            report = ingest_on_spark(
                settings,
                project,
                place,
                file_format=file_format,
                source=source,
                arrived_ms=arrived_ms,
                again=again,
            )
        elif chosen == "local":
            from headrace_batch.ingest.run import ingest as ingest_here

            report = ingest_here(
                settings,
                project,
                place,
                file_format=file_format,
                source=source,
                arrived_ms=arrived_ms,
                again=again,
                on_progress=lambda done, _: advance(done),
            )
        else:
            raise ConfigurationError.unknown("engine", chosen, ("local", "spark"))
    if any(one.ingested for one in report.sources):
        note_beside_streams(settings, project, {one.source for one in report.sources})
    return report


def show(report: IngestReport, project: Project) -> None:
    """Print a report for people."""
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
                "  by first reason; kept, with their columns and all reasons, in"
                f" {source.quarantine_table_uri}",
                soft_wrap=True,
            )
        if source.duplicates and not source.ingested:
            # Whether they are like what is there nobody has looked: only keys are read.
            out.print(
                f"duplicates have keys that {source.table} or earlier rows have: what came first"
                " stays, whatever else they say; to change rows of a day: headrace quarantine day"
                f" {source.source} --date D, then headrace ingest --again with mended files alone",
                soft_wrap=True,
            )
        if source.set_aside_waits:
            out.print(
                f"rows of {source.source} that were set aside wait in quarantine: files that were"
                " taken in before bring theirs back by headrace ingest --again",
                soft_wrap=True,
            )
    if report.ignored_columns:
        out.print(f"ignored columns: {', '.join(report.ignored_columns)}", soft_wrap=True)
    out.print(f"{counted(report.rows, 'row')} in {report.seconds:.1f} s")


def described(report: IngestReport) -> dict[str, Any]:
    """A report for programs."""
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
                "ignored_columns": list(source.ignored_columns),
                "set_aside_waits": source.set_aside_waits,
            }
            for source in report.sources
        ],
    }
