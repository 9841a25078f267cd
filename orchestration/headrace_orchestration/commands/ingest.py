"""`headrace ingest`: events from files or topics into their tables, once each."""

from __future__ import annotations

from typing import Annotated

import typer

from headrace_orchestration.commands.backfill import EngineName
from headrace_orchestration.commands.ingest_day import ingest_day, not_again_of_topics
from headrace_orchestration.commands.ingest_files import described, ingest_files, show
from headrace_orchestration.commands.ingest_kafka import ingest_kafka
from headrace_orchestration.output import JsonOption, print_json
from headrace_orchestration.session import current_project
from headrace_schemas.errors import ConfigurationError

File = Annotated[
    str | None, typer.Option("--file", help="A file, a folder or a pattern in quotes.")
]
FromKafka = Annotated[
    bool, typer.Option("--from-kafka", help="The topics of the event sources, on Spark.")
]
Day = Annotated[
    str | None,
    typer.Option("--date", help=r"A day that is over, UTC: its events, as \[ingest] says."),
]
Again = Annotated[
    bool,
    typer.Option(
        "--again",
        help="Take files in though they were before: rows of theirs that were set aside since then"
        " come in, those that are there are duplicates.",
    ),
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
    date: Day = None,
    format: Format = None,  # noqa: A002 - the option's name
    source: Source = None,
    engine: EngineName = None,
    again: Again = False,
    skip_lost: SkipLost = False,
    as_json: JsonOption = False,
) -> None:
    """Append events to their Delta table, each once however often this runs.

    Rows that break the contract or a rule of their source are kept aside with their reasons.
    """
    if date is not None:
        _refuse_with_date(file=file, from_kafka=from_kafka, format=format, skip_lost=skip_lost)
        ingest_day(date, source, engine=engine, again=again, as_json=as_json)
        return
    if from_kafka:
        _refuse_with_kafka(file=file, format=format, engine=engine)
        if again:
            raise not_again_of_topics("--from-kafka")
        ingest_kafka(source, skip_lost=skip_lost, as_json=as_json)
        return
    if file is None or skip_lost:
        lacks = "--from-kafka" if skip_lost else "--file, --from-kafka or --date"
        raise ConfigurationError(
            f"headrace ingest needs {lacks}", hint="see headrace ingest --help"
        )
    settings, project = current_project()
    report = ingest_files(
        settings,
        project,
        file,
        file_format=format,
        source=source,
        engine=engine,
        quiet=as_json,
        again=again,
    )
    if as_json:
        print_json(described(report))
    else:
        show(report, project)
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


def _refuse_with_date(
    *,
    file: str | None,
    from_kafka: bool,
    format: str | None,  # noqa: A002 - the option's name
    skip_lost: bool,
) -> None:
    """Raise ConfigurationError for options that say where the events of a day are."""
    given = {
        "--file": file,
        "--from-kafka": from_kafka,
        "--format": format,
        "--skip-lost": skip_lost,
    }
    for option, value in given.items():
        if value:
            raise ConfigurationError(
                f"{option} can't go with --date, for which [ingest] says where events come from",
                hint="leave one of them out",
            )
