"""What `headrace ingest --from-kafka` does and prints."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from headrace_orchestration.output import console, print_json, print_table, progress
from headrace_orchestration.session import current_project

if TYPE_CHECKING:
    from headrace_batch.ingest.topic_report import KafkaReport
    from headrace_features.project import Project


def ingest_kafka(source: str | None, *, skip_lost: bool, as_json: bool) -> None:
    """Take the topics of one source, or of all, into their tables, and say what was done."""
    from headrace_batch.ingest.topic_run import ingest_topics
    from headrace_streaming.kafka.clients import kafka_config

    settings, project = current_project()
    with progress("ingest from Kafka", quiet=as_json) as advance:
        report = ingest_topics(
            settings,
            project,
            kafka_config(settings),
            source=source,
            skip_lost=skip_lost,
            on_progress=advance,
        )
    if as_json:
        print_json(_described(report))
    else:
        _show(report, project)


def _show(report: KafkaReport, project: Project) -> None:
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
                f"  kept, with their reasons, in {source.quarantine_table_uri}", soft_wrap=True
            )
        covered = ", ".join(f"{number}: {offset}" for number, offset in source.covered.items())
        out.print(f"  has topic {source.topic} before the offsets {covered}", soft_wrap=True)
        for note in source.notes:
            out.print(f"  {note}", soft_wrap=True)
    out.print(f"{report.rows:,} rows in {report.seconds:.1f} s")


def _described(report: KafkaReport) -> dict[str, Any]:
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
