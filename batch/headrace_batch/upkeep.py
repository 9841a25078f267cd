"""Upkeep of the lake's tables: files put together, the log summed up, what nobody needs deleted.

No row changes, and what the tables have recorded beside their rows stays: offsets, files that were
taken in, generations. Small files of a day become one. Files that are in no version any more, or
never were in one as their writer was killed, are deleted after a time (Delta's
`delta.deletedFileRetentionDuration`, a week unless the table says otherwise): whoever began to read
before may still be at them. Commits of the log are kept for `delta.logRetentionDuration`, 30 days.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc
from deltalake import CommitProperties, DeltaTable
from deltalake.exceptions import CommitFailedError

from headrace_batch.event_files import EventFiles
from headrace_batch.history_increment import held_by
from headrace_batch.ingest.appending import this_process
from headrace_batch.quality.verdicts import carry_over
from headrace_batch.table_files import deletable, lake_tables, log_files
from headrace_batch.table_lease import held
from headrace_batch.tile_table import taken_by
from headrace_schemas.errors import RetryableError
from headrace_schemas.tables import EVENT_DATE, FEATURES, tiles_table

if TYPE_CHECKING:
    from headrace_batch.warehouse import Warehouse
    from headrace_features.definitions.sources import EventSource
    from headrace_features.definitions.views import FeatureView

#: Files that have so much are left as they are, ones with less are put together up to it.
_WHOLE_BYTES = 128 << 20


@dataclass(frozen=True, slots=True)
class TableUpkeep:
    """What was done for a table, or would be.

    Attributes:
        table: its name.
        put_together: how many small files there were that became fewer.
        left_days: days whose files were left alone, as what goes on by them lacks some events.
        deleted: how many files that no version needs.
        deleted_bytes: what they took.
        commits: how many the log had files of that have now been summed up.
    """

    table: str
    put_together: int
    left_days: int
    deleted: int
    deleted_bytes: int
    commits: int


def keep_up(
    warehouse: Warehouse,
    sources: Iterable[EventSource],
    views: Sequence[FeatureView],
    *,
    dry_run: bool = False,
) -> Iterator[TableUpkeep]:
    """Look after all tables of a lake, one after the other.

    Whatever is stopped in between is done by the next one. Others may read and write meanwhile.

    Args:
        warehouse: where the tables are.
        sources: the declared ones, which may have tables of other names.
        views: those that batch layers and histories go on of. These take in what has come by the
            files of the events' table: days of which they lack some stay as they are, or all would
            have to be made anew.
        dry_run: change nothing.

    Raises:
        RetryableError: another process was in the way, or the store doesn't answer.
        ConfigurationError: a table is damaged.
    """
    by_table = {source.table: source for source in sources}
    for name in lake_tables(warehouse, by_table):
        source = by_table.get(name)
        waiting = frozenset[date]() if source is None else _waiting(warehouse, source, views)
        yield _kept_up(warehouse, name, waiting, dry_run=dry_run)


def _kept_up(
    warehouse: Warehouse,
    name: str,
    waiting: frozenset[date],
    *,
    dry_run: bool,
) -> TableUpkeep:
    table = warehouse.open(name)
    small = _small_files(table)
    there = {day: count for day, count in small.items() if day not in waiting}
    put_together = sum(there.values())
    if there and not dry_run:
        with _alone(warehouse, name):
            put_together = _put_together(warehouse, name, there)
    if not dry_run:
        # Also where nothing was small: an upkeep that was killed has left it to this one. Commits
        # that tell of it may go below.
        carry_over(warehouse, name)
    unneeded = deletable(warehouse, name)
    commits = log_files(warehouse, name).since_checkpoint
    if not dry_run:
        with warehouse.explaining(name):
            if unneeded:
                warehouse.open(name).vacuum(dry_run=False, full=True)
            table = warehouse.open(name)
            if commits:
                table.create_checkpoint()
            table.cleanup_metadata()
    return TableUpkeep(
        table=name,
        put_together=put_together,
        left_days=len(small.keys() - there.keys()),
        deleted=len(unneeded),
        deleted_bytes=sum(unneeded.values()),
        commits=commits,
    )


def _waiting(
    warehouse: Warehouse, source: EventSource, views: Sequence[FeatureView]
) -> frozenset[date]:
    """The days of events that the tiles of some views, or their histories, have not taken in."""
    bronze = EventFiles(warehouse, source)
    found: set[date] = set()
    for view in views:
        if view.source.table != source.table:
            continue
        tiles = warehouse.find(tiles_table(view.name, view.version))
        for taken in (held_by(warehouse, view), None if tiles is None else taken_by(tiles)):
            if taken is not None and taken.source == bronze.identity:
                # Where that can't be told any more all are made anew, whatever the files are.
                found.update(file.day for file in bronze.since(taken.version) or ())
    return frozenset(found)


def _alone(warehouse: Warehouse, name: str) -> AbstractContextManager[object]:
    """Whoever replaces rows of a table of features would meet files that are there no more."""
    return held(warehouse, name) if name.startswith(f"{FEATURES}.") else nullcontext()


def _small_files(table: DeltaTable) -> dict[date | None, int]:
    """By day the number of small files, where there are some; None is a table without days."""
    files = pa.table(table.get_add_actions(flatten=True))
    if not len(files):
        return {}
    small = files.filter(pc.less(files["size_bytes"], _WHOLE_BYTES))
    column = f"partition.{EVENT_DATE}"
    days = small[column].to_pylist() if column in small.column_names else [None] * len(small)
    return {day: count for day, count in Counter(days).items() if count > 1}


def _put_together(warehouse: Warehouse, name: str, days: Iterable[date | None]) -> int:
    """Write small files of some days as fewer; returns how many there were."""
    dated = [str(day) for day in days if day is not None]
    with warehouse.explaining(name, except_for=CommitFailedError):
        try:
            told = warehouse.open(name).optimize.compact(
                [(EVENT_DATE, "in", dated)] if dated else None,
                target_size=_WHOLE_BYTES,
                max_concurrent_tasks=1,
                commit_properties=CommitProperties(
                    custom_metadata={"headrace.process": this_process()}
                ),
            )
        except CommitFailedError as error:
            raise RetryableError(
                f"rows of {name} were replaced while its files were put together",
                hint="run it again",
            ) from error
    return int(told["numFilesRemoved"])
