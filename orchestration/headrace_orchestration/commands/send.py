"""`headrace send`: the events of files into Kafka."""

from __future__ import annotations

from typing import Annotated

import typer

from headrace_orchestration.commands.ingest import Format, Source
from headrace_orchestration.output import JsonOption, console, print_json, progress
from headrace_orchestration.session import current_project
from headrace_schemas.counted import counted

File = Annotated[str, typer.Option("--file", help="A file, a folder or a pattern in quotes.")]
Rate = Annotated[
    float | None,
    typer.Option(min=0.001, help="Records a second. Default: as fast as the broker takes them."),
]


def send(
    file: File,
    format: Format = None,  # noqa: A002 - the option's name
    source: Source = None,
    rate: Rate = None,
    as_json: JsonOption = False,
) -> None:
    """Send events to the topics of their sources, in the order in which they become known.

    Rows that break the contract are counted and left out.
    """
    from headrace_orchestration.file_records import file_records
    from headrace_streaming.kafka import sender
    from headrace_streaming.kafka.clients import kafka_config
    from headrace_streaming.kafka.topics import create_topics, topics_of

    settings, project = current_project()
    kafka = kafka_config(settings)
    create_topics(kafka, topics_of(project))
    with progress(f"read {file}", quiet=as_json):
        read = file_records(settings, project, file, file_format=format, source=source)
    with progress(f"send {file}", quiet=as_json) as advance:
        report = sender.send(kafka, read.records, rate, advance)
    if as_json:
        print_json(
            {
                "records": report.records,
                "seconds": report.seconds,
                "rate": report.rate,
                "rejected": {name: dict(counts) for name, counts in read.rejected.items()},
            }
        )
        return
    for name, counts in read.rejected.items():
        for reason, rows in counts.items():
            console().print(
                f"{counted(rows, 'row')} of {name} left out as {reason}: {reason.meaning}"
            )
    console().print(
        f"{counted(report.records, 'record')} in {report.seconds:.1f} s,"
        f" {report.rate:,.0f} a second"
    )
