"""Brings a view's history up to a day: what is new, and what late events have changed.

A commit to the feature table notes up to which version of the table of events, and up to which day,
it has everything. Of what has come since, the log of the table of events tells the days.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from datetime import date, timedelta
from typing import TYPE_CHECKING, NamedTuple

from deltalake import DeltaTable, Transaction

from headrace_batch.backfill_table import FeatureTable
from headrace_batch.days import ends_of
from headrace_batch.event_files import EventFiles
from headrace_batch.tile_intake import DAYS_BEFORE, EPOCH_DAY
from headrace_features.definitions.durations import DAY_MS
from headrace_schemas.tables import features_table

if TYPE_CHECKING:
    from headrace_batch.warehouse import Warehouse
    from headrace_features.definitions.views import FeatureView
    from headrace_features.engines import BackfillReport

_APPLICATION = "headrace.history"

#: Writes the history of some days, both included, in place of what was there.
Backfill = Callable[[date, date], "BackfillReport"]
Days = tuple[date, date]


class Held(NamedTuple):
    """What of a table of events something was made of.

    Attributes:
        source: tells the table of events from others.
        version: of that table.
        until: the last day.
    """

    source: int
    version: int
    until: date


def bring_up_to(
    warehouse: Warehouse, view: FeatureView, last: date, backfill: Backfill
) -> list[BackfillReport]:
    """Write the days up to one that are new, and those of which events have come since.

    Days may be given in any order, and again. Killed anywhere, the next run does what is left.

    Args:
        warehouse: where events and features are.
        view: the definition.
        last: the last day; a history that is further stays so.
        backfill: writes days.

    Raises:
        ConfigurationError: there are no events, or a table is damaged.
        RetryableError: another process writes the history.
    """
    held = held_by(warehouse, view)
    # Before anything is read: what comes from now on is left to the next run.
    events = EventFiles(warehouse, view.source)
    until = last if held is None else max(last, held.until)
    written = _written(warehouse, view)
    reports = [backfill(*days) for days in days_to_write(view, events, held, until, written)]
    _note(warehouse, view, Held(events.identity, events.version, until), held)
    return reports


def write_all(
    warehouse: Warehouse, view: FeatureView, days: Days, backfill: Backfill
) -> list[BackfillReport]:
    """Write all days that have events anew; later increments go on from there.

    Args:
        warehouse: where events and features are.
        view: the definition.
        days: the first and the last.
        backfill: writes them.

    Raises:
        ConfigurationError: a table is damaged.
        RetryableError: another process writes the history.
    """
    held, events = held_by(warehouse, view), EventFiles(warehouse, view.source)
    report = backfill(*days)
    _note(warehouse, view, Held(events.identity, events.version, days[1]), held)
    return [report]


def _note(warehouse: Warehouse, view: FeatureView, now: Held, before: Held | None) -> None:
    """Keep what a history was made of, where `before` was what it had been made of.

    Raises:
        RetryableError: another process writes the history.
    """
    with FeatureTable.held(warehouse, view) as table:
        held = _held(table.lease.opened())
        if held is not None and held != before and held.source == now.source:
            # Another run was at it since this one began: what both have is what there is.
            now = Held(now.source, min(now.version, held.version), max(now.until, held.until))
        if held != now:
            table.note(
                Transaction(f"{_APPLICATION}:{name}", number)
                for name, number in zip(Held._fields, _numbers(now), strict=True)
            )


def _numbers(held: Held) -> tuple[int, int, int]:
    return held.source, held.version, (held.until - EPOCH_DAY).days + DAYS_BEFORE


def days_to_write(
    view: FeatureView,
    events: EventFiles,
    held: Held | None,
    until: date,
    written: Days | None = None,
) -> list[Days]:
    """The days that a history lacks, or that what has come has changed, as spans in order.

    Args:
        view: whose history.
        events: the table of events.
        held: what the history has.
        until: the last day that it is to have.
        written: the first and the last day of which it has rows; there may be no event of them now.
    """
    came = None
    if held is not None and held.source == events.identity:
        came = events.since(held.version, held.until)
    there = sorted({file.day for file in events.all() if file.day <= until})
    if held is None or came is None:
        ends = [*there, *(day for day in written or () if day <= until)]
        return [(min(ends), max(ends))] if ends else []
    late = {file.day for file in came if file.day <= held.until}
    return list(
        _spans(
            (day, day > held.until or any(_changes(view, one, day) for one in late))
            for day in there
        )
    )


def _written(warehouse: Warehouse, view: FeatureView) -> Days | None:
    table = warehouse.find(features_table(view.name, view.version))
    return None if table is None else ends_of(table)


def _changes(view: FeatureView, came: date, day: date) -> bool:
    """Whether a value of a day may look back at an event of another one."""
    if view.lookback_ms is None:
        return came <= day
    return came <= day <= came + timedelta(days=1 + view.lookback_ms // DAY_MS)


def _spans(days: Iterable[tuple[date, bool]]) -> Iterator[Days]:
    """The spans of successive days that are wanted; one without events doesn't end one."""
    first = last = None
    for day, is_wanted in days:
        if is_wanted:
            first, last = first or day, day
        elif first is not None and last is not None:
            yield first, last
            first = None
    if first is not None and last is not None:
        yield first, last


def held_by(warehouse: Warehouse, view: FeatureView) -> Held | None:
    """What the history of a view was made of; None where that was never noted."""
    return _held(warehouse.find(features_table(view.name, view.version)))


def _held(table: DeltaTable | None) -> Held | None:
    if table is None:
        return None
    source, version, until = (
        table.transaction_version(f"{_APPLICATION}:{name}") for name in Held._fields
    )
    if source is None:
        return None
    return Held(source, version or 0, EPOCH_DAY + timedelta((until or 0) - DAYS_BEFORE))
