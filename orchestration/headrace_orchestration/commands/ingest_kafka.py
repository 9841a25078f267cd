"""What `headrace ingest --from-kafka` does and prints."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from headrace_orchestration.output import console, print_json, print_table, progress
from headrace_orchestration.session import current_project
from headrace_schemas.counted import counted

if TYPE_CHECKING:
    from headrace_batch.ingest.topic_report import KafkaReport
    from headrace_features.project import Project
    from headrace_schemas.settings import Settings


def ingest_kafka(source: str | None, *, skip_lost: bool, as_json: bool) -> None:
    """Take the topics of one source, or of all, into their tables, and say what was done."""
    settings, project = current_project()
    report = take_topics(settings, project, source, skip_lost=skip_lost, quiet=as_json)
    if as_json:
        print_json(described_topics(report))
    else:
        show_topics(report, project)


def take_topics(
    settings: Settings, project: Project, source: str | None, *, skip_lost: bool, quiet: bool
) -> KafkaReport:
    """Take the topics of one source, or of all, into their tables."""
    from headrace_batch.ingest.topic_run import ingest_topics
    from headrace_streaming.kafka.clients import kafka_config

    with progress("ingest from Kafka", quiet=quiet) as advance:
        return ingest_topics(
            settings,
            project,
            kafka_config(settings),
            source=source,
            skip_lost=skip_lost,
            on_progress=advance,
        )


def show_topics(report: KafkaReport, project: Project) -> None:
    """Print a report for people."""
    print_table(
        None,
        ("source", "rows", "ingested", "duplicates", "rejected", "already ingested"),
        [
            (s.source, s.rows, s.ingested, s.duplicates, s.rejected_rows, s.already_ingested)
            for s in report.sources
        ],
    )
    from headrace_features.row_rules import meaning_of

    out = console()
    for source in report.sources:
        out.print(f"{source.table} → {source.table_uri}", soft_wrap=True)
        for reason, rows in source.rejected.items():
            meaning = meaning_of(project.source(source.source), reason)
            out.print(f"{rows:,} rejected as {reason}: {meaning}")
        if source.rejected:
            out.print(
                f"  by first reason; kept, with all reasons, in {source.quarantine_table_uri}",
                soft_wrap=True,
            )
        covered = ", ".join(f"{number}: {offset}" for number, offset in source.covered.items())
        out.print(f"  has topic {source.topic} before the offsets {covered}", soft_wrap=True)
        for note in source.notes:
            out.print(f"  {note}", soft_wrap=True)
    out.print(f"{counted(report.rows, 'row')} in {report.seconds:.1f} s")


def described_topics(report: KafkaReport) -> dict[str, Any]:
    """A report for programs."""
    return {
        "rows": report.rows,
        "seconds": report.seconds,
        "sources": [
            {
                "source": source.source,
                "topic": source.topic,
                "table": source.table_uri,
                "quarantine_table": source.quarantine_table_uri,
                "rows": source.rows,
                "ingested": source.ingested,
                "duplicates": source.duplicates,
                "rejected": dict(source.rejected),
                "already_ingested": source.already_ingested,
                "first_offsets": dict(source.first),
                "covered_offsets": dict(source.covered),
                "notes": list(source.notes),
            }
            for source in report.sources
        ],
    }
