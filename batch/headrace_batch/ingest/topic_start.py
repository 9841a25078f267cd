"""With which offsets an ingest from a topic begins, and whether anything is lost by it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from headrace_schemas.errors import ConfigurationError

if TYPE_CHECKING:
    from headrace_batch.ingest.broker import TopicNow
    from headrace_batch.ingest.covered import Covered


@dataclass(frozen=True, slots=True)
class Start:
    """Where reading begins in every partition, and what people should know about it.

    `skips` says that records are left out which no later run would bring.
    """

    offsets: Mapping[int, int]
    notes: tuple[str, ...]
    skips: bool


def start_of(topic: TopicNow, covered: Covered, table: str, *, skip_lost: bool) -> Start:
    """Where to go on with a topic that a table has taken in up to some offsets.

    A topic that the table knows nothing of is read from its oldest record, and so is one that was
    made anew since: its offsets say nothing about those of the one before.

    Args:
        topic: the topic as it is.
        covered: what the table has taken in of the topic of that name.
        table: the name of the table.
        skip_lost: leave out what the table lacks and the broker no longer has.

    Raises:
        ConfigurationError: the broker has deleted records that the table lacks, or the topic ends
            before what the table has taken in.
    """
    done = covered.of(topic.identity)
    notes = []
    if covered.identity is not None and not done:
        notes.append(
            f"topic {topic.name} was made anew since the last run, and read from its start"
        )
    if not done:
        older = {p: (0, first) for p, first in topic.earliest.items() if first > 0}
        if older:
            notes.append(f"topic {topic.name} no longer has {_spelled(older)}")
        return Start(topic.earliest, tuple(notes), skips=False)
    beyond = {p: end for p, end in topic.latest.items() if end < done.get(p, 0)}
    if beyond:
        told = ", ".join(f"{done[p]} of partition {p} (ends at {beyond[p]})" for p in beyond)
        raise ConfigurationError(
            f"topic {topic.name} ends before what {table} has taken in of it: offsets up to {told}",
            hint="the broker has lost records, or is another one than before: see [kafka]",
        )
    lost = {
        p: (done.get(p, 0), first) for p, first in topic.earliest.items() if first > done.get(p, 0)
    }
    if lost and not skip_lost:
        raise ConfigurationError(
            f"the broker has deleted records of topic {topic.name} that {table} lacks:"
            f" {_spelled(lost)}",
            hint="bring their events by headrace ingest --file if there is a copy, then go on"
            " without them by --skip-lost; and run this more often than the topic's retention",
        )
    if lost:
        notes.append(f"skipped, as the broker has deleted them: {_spelled(lost)}")
    offsets = {p: max(first, done.get(p, 0)) for p, first in topic.earliest.items()}
    return Start(offsets, tuple(notes), skips=bool(lost))


def _spelled(ranges: Mapping[int, tuple[int, int]]) -> str:
    return ", ".join(
        f"offsets {first} to {after - 1} of partition {number}"
        for number, (first, after) in sorted(ranges.items())
    )
