"""Which events have come for a view's tiles, by the logs of both tables alone."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import date, timedelta
from typing import TYPE_CHECKING, NamedTuple

import pyarrow.compute as pc

if TYPE_CHECKING:
    from headrace_batch.event_files import EventFiles, File
    from headrace_features.definitions.views import FeatureView

#: Versions of applications are not negative: days are told from this many before 1970.
DAYS_BEFORE = 1_000_000
EPOCH_DAY = date(1970, 1, 1)
#: Of events that are known when they are, or of which all count.
_EVER_MS = (1 << 63) - 1


@dataclass(frozen=True, slots=True)
class Taken:
    """What a table of tiles has taken in.

    Attributes:
        source: tells the table of events from others.
        version: of that table.
        known_ms: of events that can become known later than they were those that were known by
            then, ms UTC.
        until: the last day.
        anew: the number of the generation with which it was made anew.
        generation: that of the newest commit.
    """

    source: int
    version: int
    known_ms: int
    until: date
    anew: int
    generation: int


class Known(NamedTuple):
    """Events by the column that tells when they could be known.

    Attributes:
        column: its name.
        above_ms: they were not known by then, ms UTC; None is any.
        limit_ms: they were known by then, ms UTC.
    """

    column: str
    above_ms: int | None
    limit_ms: int

    @property
    def expression(self) -> pc.Expression:
        """The same for Arrow."""
        where = pc.field(self.column) <= self.limit_ms
        return where if self.above_ms is None else where & (pc.field(self.column) > self.above_ms)


class Some(NamedTuple):
    """Events of some files of the table of events; without `known` all of them."""

    files: list[File]
    known: Known | None


class Step(NamedTuple):
    """Events that come into the tiles together, and what these have taken in with them."""

    wanted: list[Some]
    taken: Taken


class Intake(NamedTuple):
    """What is to come into a table of tiles.

    Attributes:
        emptied: what it has taken in once it is emptied, where it has to be made anew.
        steps: one after the other.
    """

    emptied: Taken | None
    steps: list[Step]


def intake(  # noqa: PLR0913 - what it is told from
    view: FeatureView,
    bronze: EventFiles,
    held: Taken | None,
    *,
    last: date,
    known_ms: int | None,
    generation: int,
    rows: int,
) -> Intake:
    """What the table of events has and a table of tiles has not.

    Args:
        view: whose tiles they are.
        bronze: the table of events.
        held: what the tiles have.
        last: the last day, unless they have later ones already.
        known_ms: see `Taken`; None is all.
        generation: the number of the one that is being built.
        rows: new days with no more of them are one step.
    """
    came: list[File] | None = None
    if held is not None and held.source == bronze.identity:
        came = bronze.since(held.version, held.until)
    limit_ms = _limit_ms(view, bronze, known_ms)
    steps: list[Step] = []
    emptied = None
    if held is None or came is None:
        first = EPOCH_DAY - timedelta(days=DAYS_BEFORE // 2)
        taken = emptied = Taken(
            bronze.identity, bronze.version, limit_ms, first, generation, generation
        )
    else:
        # What was taken in once can't be left to others any more.
        limit_ms = max(limit_ms, held.known_ms)
        taken = replace(held, version=bronze.version, known_ms=limit_ms, generation=generation)
        if (held.version, held.known_ms) != (taken.version, taken.known_ms):
            steps.append(Step(_late(view, bronze, came, held, limit_ms), taken))
    for files, until in _groups(bronze.all(), taken.until, last, rows):
        taken = replace(taken, until=until)
        steps.append(Step([Some(files, _known(view, None, limit_ms))], taken))
    return Intake(emptied, steps)


def _limit_ms(view: FeatureView, bronze: EventFiles, known_ms: int | None) -> int:
    """By when events have to be known, so that each that comes later can be told from them."""
    name = view.source.available_at
    if name is None:
        return _EVER_MS
    newest = bronze.greatest(name)
    return min(one for one in (known_ms, newest, _EVER_MS) if one is not None)


def _late(
    view: FeatureView, bronze: EventFiles, came: list[File], held: Taken, limit_ms: int
) -> list[Some]:
    """Events of days that are here already: what came, and what was not to be known before."""
    inside = [file for file in came if file.day <= held.until]
    found = [Some(inside, _known(view, None, limit_ms))]
    if view.source.available_at is None or limit_ms <= held.known_ms:
        return found
    there = {file.path for file in came}
    left = [
        file
        for file in bronze.all(view.source.available_at, held.known_ms)
        if file.day <= held.until and file.path not in there
    ]
    return [*found, Some(left, _known(view, held.known_ms, limit_ms))]


def _known(view: FeatureView, above_ms: int | None, limit_ms: int) -> Known | None:
    """The events that were known by a time, and not by another one."""
    name = view.source.available_at
    return None if name is None else Known(name, above_ms, limit_ms)


def _groups(
    files: list[File], after: date, last: date, rows: int
) -> Iterator[tuple[list[File], date]]:
    """The files of the days after one up to another: of as many days as have so many rows together.

    Of each group its files and its last day; that of the last group is the last day of all.
    """
    by_day: dict[date, list[File]] = {}
    for file in files:
        if after < file.day <= last:
            by_day.setdefault(file.day, []).append(file)
    group: list[File] = []
    for day, some in sorted(by_day.items()):
        if group and sum(file.rows for file in (*group, *some)) > rows:
            yield group, day - timedelta(1)
            group = []
        group += some
    if after < last:
        yield group, last
