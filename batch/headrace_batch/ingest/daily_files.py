"""Where the events of a day come from, source by source, as `[ingest]` says."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

from headrace_batch.ingest.input_files import files_at
from headrace_schemas.errors import ConfigurationError, RetryableError

if TYPE_CHECKING:
    from headrace_features.project import Project
    from headrace_schemas.settings import Settings

#: In place of files: the topic of the source.
KAFKA = "kafka"
_DATE = "{date}"


def place_of_day(settings: Settings, project: Project, source: str, day: date) -> str | None:
    """The place of the files of a day; None where the events come from the source's topic.

    A relative path starts at the folder of `headrace.toml`, as in other settings.

    Raises:
        ConfigurationError: nothing says where they are, or not by the day.
    """
    for name in settings.ingest:
        if name not in project.sources:
            raise ConfigurationError.unknown("source in [ingest]", name, project.sources)
    place = settings.ingest.get(project.source(source).name)
    if place is None:
        raise ConfigurationError(
            f"nothing says where the events of {source} of a day are",
            hint=f'set [ingest] {source} = "landing/{_DATE}/*.parquet", or "{KAFKA}"',
        )
    if place == KAFKA:
        return None
    if _DATE not in place:
        raise ConfigurationError(
            f"[ingest] {source} = {place!r} names no files of a day",
            hint=f"{_DATE} in it stands for the day, such as 2024-05-31; or {KAFKA!r}",
        )
    named = place.replace(_DATE, day.isoformat())
    return named if "://" in named else str((settings.root or Path.cwd()) / named)


def require_files(settings: Settings, source: str, day: date, place: str) -> None:
    """See that the files of a day have come.

    Raises:
        RetryableError: there are none yet.
    """
    if not files_at(place, None, settings.warehouse.storage_options):
        raise RetryableError(
            f"the events of {source} of {day} have not come: there is no data file in {place}",
            hint="run it again once they have",
        )
