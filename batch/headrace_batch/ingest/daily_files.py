"""Where the events of a day come from, source by source, as `[ingest]` says; have they come?"""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from headrace_schemas.errors import ConfigurationError, RetryableError

if TYPE_CHECKING:
    from headrace_features.definitions.sources import EventSource
    from headrace_features.project import Project
    from headrace_schemas.settings import Settings

#: In place of files: the topic of the source.
KAFKA = "kafka"
#: Nowhere: somebody fills the table.
BY_HAND = "none"
_DATE = "{date}"


def is_taken_in(settings: Settings, source: str) -> bool:
    """Whether a daily run takes the events of a source in."""
    return settings.ingest.get(source) != BY_HAND


def comes_by_days(settings: Settings, source: str) -> bool:
    """Whether each day is to bring events of a source: they come in its topic or files of days."""
    place = settings.ingest.get(source)
    return place in {None, KAFKA} or _DATE in str(place)


def place_of_day(settings: Settings, project: Project, source: str, day: date) -> str | None:
    """The place of the files of a day; None where the events come from the source's topic.

    A place that doesn't name the day is that of every day. A relative path starts at the folder of
    `headrace.toml`, as in other settings.

    Raises:
        ConfigurationError: nothing says where they are, or that somebody takes them in.
    """
    for name in settings.ingest:
        if name not in project.sources:
            raise ConfigurationError.unknown("source in [ingest]", name, project.sources)
    place = settings.ingest.get(project.source(source).name)
    if place is None:
        raise ConfigurationError(
            f"nothing says where the events of {source} of a day are",
            hint=f'set [ingest] {source} = "landing/{_DATE}/*.parquet", "{KAFKA}" for its topic, or'
            f' "{BY_HAND}" if you fill its table yourself',
        )
    if place == BY_HAND:
        raise ConfigurationError(
            f"[ingest] {source} = {BY_HAND!r} says that you fill its table yourself",
            hint=f"headrace ingest --file FILE --source {source}",
        )
    if place == KAFKA:
        return None
    named = place.replace(_DATE, day.isoformat())
    return named if "://" in named else str((settings.root or Path.cwd()) / named)


def require_files(settings: Settings, source: str, day: date, place: str) -> None:
    """See that the files of a day have come, or those that are there on every day.

    Raises:
        RetryableError: there are none yet.
    """
    # Runs are made of settings, which doesn't take what reads files.
    from headrace_batch.ingest.input_files import files_at

    if files_at(place, None, settings.warehouse.storage_options):
        return
    if comes_by_days(settings, source):
        raise RetryableError(
            f"the events of {source} of {day} have not come: there is no data file in {place}",
            hint="run it again once they have",
        )
    raise RetryableError(
        f"the events of {source} are not there: there is no data file in {place}",
        hint=f'put it there and run it again; where its files are those of days, "{_DATE}" in'
        f" [ingest] {source} stands for the day",
    )


def require_whole(settings: Settings, source: EventSource, day: date) -> None:
    """See that the table of a source has been told all of a day by its topic.

    Raises:
        RetryableError: events of it may be yet to come.
    """
    from headrace_batch.days import begins_ms, ends_of, whole_until, whole_until_ms
    from headrace_batch.warehouse import Warehouse

    end_ms = begins_ms(day + timedelta(days=1))
    lateness_ms = settings.stream.lateness // timedelta(milliseconds=1)
    told = f"the events of {source.name} of {day} have not all come: its topic"
    hint = (
        "run it again once each partition in use has an event of"
        f" {_spelled(end_ms + lateness_ms)} or later; if the topic falls silent, the day waits"
    )
    table = Warehouse.of(settings).find(source.table)
    if table is None or ends_of(table) is None:
        raise RetryableError(f"{told} has told none yet", hint=hint)
    until = whole_until(settings, source, streamed=True)
    if until is not None and until <= day:
        whole_ms = min(whole_until_ms(settings, source), end_ms)
        raise RetryableError(f"{told} is whole until {_spelled(whole_ms)}", hint=hint)


def _spelled(time_ms: int) -> str:
    return f"{datetime.fromtimestamp(time_ms / 1000, UTC):%Y-%m-%d %H:%M:%S} UTC"
