"""What `headrace ingest --date` does and prints: the events of a day, wherever they come from."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from headrace_orchestration.commands.ingest_files import described, ingest_files, show
from headrace_orchestration.commands.ingest_kafka import described_topics, show_topics, take_topics
from headrace_orchestration.output import print_json
from headrace_orchestration.session import current_project
from headrace_schemas.days import parse_ended_day
from headrace_schemas.errors import ConfigurationError


def ingest_day(
    text: str, source: str | None, *, engine: str | None, again: bool, as_json: bool
) -> None:
    """Take the events of a day into the table of one source, or of all, and say what was done.

    With `again` files are taken in though they were before; topics go on where they stand.

    Raises:
        ConfigurationError: it is no day that is over, or nothing says where its events are.
        RetryableError: they have not come yet, or somebody is in the way.
    """
    from headrace_batch.days import begins_ms
    from headrace_batch.ingest.daily_files import (
        comes_by_days,
        is_taken_in,
        place_of_day,
        require_files,
        require_whole,
    )

    settings, project = current_project()
    day = parse_ended_day(text, "--date", datetime.now(UTC))
    names = (
        [project.source(source).name]
        if source
        else [name for name in project.sources if is_taken_in(settings, name)]
    )
    # What is set wrongly is told before the first one is taken in.
    places = {name: place_of_day(settings, project, name, day) for name in names}
    if again and not any(places.values()):
        raise not_again_of_topics(f"--date {day}, whose events come in topics")
    told: list[dict[str, Any]] = []
    try:
        for name, place in places.items():
            if place is None:
                topics = take_topics(settings, project, name, skip_lost=False, quiet=as_json)
                told += described_topics(topics)["sources"]
                if not as_json:
                    show_topics(topics, project)
                require_whole(settings, project.source(name), day)
                continue
            require_files(settings, name, day, place)
            files = ingest_files(
                settings,
                project,
                place,
                file_format=None,
                source=name,
                engine=engine,
                quiet=as_json,
                again=again,
                # By rules on that, a file of a day was to be there when the day ended. Of one that
                # is there on every day nothing tells.
                arrived_ms=(
                    begins_ms(day + timedelta(days=1)) if comes_by_days(settings, name) else None
                ),
            )
            told += described(files)["sources"]
            if not as_json:
                show(files, project)
            failure = files.failure()
            if failure is not None:
                raise failure
    finally:
        # Also where the day isn't whole yet: what was taken in is read, and told, but once.
        if as_json and told:
            print_json({"date": day, "sources": told})


def not_again_of_topics(asked: str) -> ConfigurationError:
    """The error of an ingest of topics alone that is asked to take files in again."""
    return ConfigurationError(
        f"--again can't go with {asked}: it takes files in again",
        hint="records of a topic that were set aside come back by headrace quarantine release",
    )
