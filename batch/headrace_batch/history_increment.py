"""Brings a view's history up to a day: what is new, and what late events have changed.

A commit to the feature table notes up to which version of the table of events, and up to which day,
it has everything. Of what has come since, the log of the table of events tells the days.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from datetime import date, timedelta
from typing import TYPE_CHECKING, NamedTuple

from deltalake import CommitProperties, DeltaTable, Transaction, write_deltalake
from deltalake.exceptions import CommitFailedError

from headrace_batch.backfill_table import FeatureTable, busy
from headrace_batch.event_files import EventFiles
from headrace_batch.tile_intake import DAYS_BEFORE, EPOCH_DAY
from headrace_features.definitions.durations import DAY_MS

if TYPE_CHECKING:
    from headrace_batch.warehouse import Warehouse
    from headrace_features.definitions.views import FeatureView
    from headrace_features.engines import BackfillReport

_APPLICATION = "headrace.history"

#: Writes the history of some days, both included, in place of what was there.
Backfill = Callable[[date, date], "BackfillReport"]
Days = tuple[date, date]


class Held(NamedTuple):
    """What a history was made of.

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
    table = FeatureTable.of(warehouse, view)
    held = _held(table)
    # Before anything is read: what comes from now on is left to the next run.
    events = EventFiles(warehouse, view.source)
    until = last if held is None else max(last, held.until)
    reports = [backfill(*days) for days in days_to_write(view, events, held, until)]
    _note(warehouse, view, events, until)
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
    events = EventFiles(warehouse, view.source)
    report = backfill(*days)
    _note(warehouse, view, events, days[1])
    return [report]


def _note(warehouse: Warehouse, view: FeatureView, events: EventFiles, until: date) -> None:
    """Keep that the history has all of a version of the table of events, up to a day.

    Raises:
        RetryableError: another process writes the history.
    """
    table = FeatureTable.of(warehouse, view)
    held, now = _held(table), Held(events.identity, events.version, until)
    if held == now:
        return
    numbers = (now.source, now.version, (until - EPOCH_DAY).days + DAYS_BEFORE)
    with warehouse.explaining(table.name, except_for=CommitFailedError):
        opened = DeltaTable(
            table.uri, version=table.version, storage_options=dict(warehouse.storage_options)
        )
        try:
            write_deltalake(
                opened,
                opened.schema().to_arrow().empty_table(),
                mode="append",
                commit_properties=CommitProperties(
                    max_commit_retries=0,
                    app_transactions=[
                        Transaction(f"{_APPLICATION}:{name}", number)
                        for name, number in zip(Held._fields, numbers, strict=True)
                    ],
                ),
            )
        except CommitFailedError as error:
            raise busy(view.name) from error


def days_to_write(
    view: FeatureView, events: EventFiles, held: Held | None, until: date
) -> list[Days]:
    """The days that a history lacks, or that what has come has changed, as spans in order.

    Args:
        view: whose history.
        events: the table of events.
        held: what the history has.
        until: the last day that it is to have.
    """
    came = None
    if held is not None and held.source == events.identity:
        came = events.since(held.version)
    there = sorted({file.day for file in events.all() if file.day <= until})
    if held is None or came is None:
        return [(there[0], there[-1])] if there else []
    late = {file.day for file in came if file.day <= held.until}
    return list(
        _spans(
            (day, day > held.until or any(_changes(view, one, day) for one in late))
            for day in there
        )
    )


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


def _held(table: FeatureTable) -> Held | None:
    opened = DeltaTable(
        table.uri, version=table.version, storage_options=dict(table.warehouse.storage_options)
    )
    source, version, until = (
        opened.transaction_version(f"{_APPLICATION}:{name}") for name in Held._fields
    )
    if source is None:
        return None
    return Held(source, version or 0, EPOCH_DAY + timedelta((until or 0) - DAYS_BEFORE))
