"""The table of a view's tiles: which events it has, and how others come into it.

Each commit says, by Delta application transactions beside its rows, up to which version of the
events' table it has them and of which days; so a run that is repeated, or was killed, goes on where
it stood, and no event comes in twice.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import date, timedelta
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

import pyarrow as pa
import pyarrow.compute as pc
from deltalake import CommitProperties, DeltaTable, Transaction, write_deltalake
from deltalake.exceptions import CommitFailedError

from headrace_batch.event_files import EventFiles, File
from headrace_batch.local_spill import Workspace, entity_parts
from headrace_batch.meaning import FINGERPRINT, require_meaning
from headrace_batch.tile_rows import (
    COUNT,
    EVENTS,
    GENERATION,
    event_schema,
    events_in,
    rows_of,
    tile_schema,
)
from headrace_batch.warehouse import Warehouse, dataset_of
from headrace_features.definitions.fingerprint import fingerprint
from headrace_features.kernel.prepare import ARROW_TYPES, apply_expressions
from headrace_features.online.store import overtaken
from headrace_schemas.tables import EVENT_DATE, tiles_table

if TYPE_CHECKING:
    from headrace_features.definitions.views import FeatureView

#: Takes the number of events done so far.
Advance: TypeAlias = Callable[[int], None]

#: Statistics of the columns before the events: nobody looks for tiles by those.
_PROPERTIES = {"delta.dataSkippingNumIndexedCols": "4"}
_APPLICATION = "headrace.tiles"
_EPOCH_DAY = date(1970, 1, 1)
#: Versions of applications are not negative: days are told from this many before 1970.
_DAYS_BEFORE = 1_000_000
#: Of events that are known when they are, or of which all count.
_EVER_MS = (1 << 63) - 1
_ROWS_AT_ONCE = 1 << 16


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


class _Some(NamedTuple):
    """Events of some files of the table of events; None is all of them."""

    files: list[File]
    where: pc.Expression | None


class TileTable:
    """The tiles of a view.

    Attributes:
        taken: what the table has taken in; None for nothing.
    """

    def __init__(self, warehouse: Warehouse, view: FeatureView) -> None:
        """Open the table, which is made where there is none.

        Raises:
            ConfigurationError: it has the tiles of another definition, or is damaged.
        """
        self._warehouse = warehouse
        self._view = view
        self.name = tiles_table(view.name, view.version)
        self._open()

    def _open(self) -> None:
        view, warehouse = self._view, self._warehouse
        table = warehouse.find(self.name) or self._created()
        require_meaning(table, view, warehouse.uri(self.name))
        self._table: DeltaTable = table
        self.taken = self._recorded()

    def _created(self) -> DeltaTable:
        # Nothing is left behind where there is nothing to make tiles of.
        self._warehouse.open(self._view.source.table)
        return self._warehouse.create(
            self.name,
            tile_schema(self._view),
            partition_by=[EVENT_DATE],
            configuration={FINGERPRINT: fingerprint(self._view), **_PROPERTIES},
        )

    def _recorded(self) -> Taken | None:
        found = {
            name: self._table.transaction_version(f"{_APPLICATION}:{name}")
            for name in ("source", "version", "known", "until", "anew", "generation")
        }
        if found["source"] is None:
            return None
        days = (found["until"] or 0) - _DAYS_BEFORE
        return Taken(
            found["source"],
            found["version"] or 0,
            found["known"] or 0,
            _EPOCH_DAY + timedelta(days),
            found["anew"] or 0,
            found["generation"] or 0,
        )

    def update(
        self,
        last: date,
        known_ms: int | None,
        generation: int,
        workspace: Workspace,
        advance: Advance,
    ) -> int:
        """Take in what the table of events has and this one has not; returns how many events.

        Args:
            last: the last day, unless it has later ones already.
            known_ms: see `Taken`; None is all.
            generation: the number of the one that is being built.
            workspace: where events wait.
            advance: takes the number of events done so far.

        Raises:
            RetryableError: another generation has been begun since.
        """
        view = self._view
        bronze = EventFiles(self._warehouse, view.source)
        source = bronze.identity
        taken = self.taken
        came: list[File] | None = None
        if taken is not None and taken.source == source:
            came = bronze.since(taken.version)
        done = 0
        limit_ms = self._limit_ms(bronze, known_ms)
        if taken is None or came is None:
            first = _EPOCH_DAY - timedelta(days=_DAYS_BEFORE // 2)
            taken = Taken(source, bronze.version, limit_ms, first, generation, generation)
            self._clear(taken)
        else:
            # What was taken in once can't be left to others any more.
            limit_ms = max(limit_ms, taken.known_ms)
            former = taken
            taken = replace(
                former, version=bronze.version, known_ms=limit_ms, generation=generation
            )
            if (former.version, former.known_ms) != (taken.version, taken.known_ms):
                late = self._late(bronze, came, former, limit_ms)
                done += self._append(bronze, late, taken, workspace)
                advance(done)
        for files, until in _groups(bronze.all(), taken.until, last, workspace.rows):
            taken = replace(taken, until=until)
            some = [_Some(files, _known(view, None, limit_ms))]
            done += self._append(bronze, some, taken, workspace)
            advance(done)
        return done

    def _limit_ms(self, bronze: EventFiles, known_ms: int | None) -> int:
        """By when events have to be known, so that each that comes later can be told from them."""
        name = self._view.source.available_at
        if name is None:
            return _EVER_MS
        newest = bronze.greatest(name)
        return min(one for one in (known_ms, newest, _EVER_MS) if one is not None)

    def _late(
        self, bronze: EventFiles, came: list[File], former: Taken, limit_ms: int
    ) -> list[_Some]:
        """Events of days that are here already: what came, and what was not to be known before."""
        view = self._view
        inside = [file for file in came if file.day <= former.until]
        found = [_Some(inside, _known(view, None, limit_ms))]
        if view.source.available_at is None or limit_ms <= former.known_ms:
            return found
        there = {file.path for file in came}
        left = [
            file
            for file in bronze.all(view.source.available_at, former.known_ms)
            if file.day <= former.until and file.path not in there
        ]
        return [*found, _Some(left, _known(view, former.known_ms, limit_ms))]

    def _read(self, bronze: EventFiles, some: _Some) -> Iterator[pa.Table]:
        view = self._view
        schema = pa.schema(
            [(name, ARROW_TYPES[view.source.column(name).type]) for name in view.input_columns]
        )
        wanted = event_schema(view).names
        for read in bronze.read(some.files, schema, some.where):
            yield apply_expressions(view, read).select(wanted)

    def _append(
        self, bronze: EventFiles, wanted: list[_Some], taken: Taken, workspace: Workspace
    ) -> int:
        """Put events in, in one commit; returns how many."""
        view, count = self._view, 0
        parts = workspace.parts(sum(file.rows for some in wanted for file in some.files))

        def batches() -> Iterator[pa.RecordBatch]:
            nonlocal count
            with workspace.spill(parts, event_schema(view)) as waiting:
                for some in wanted:
                    for read in self._read(bronze, some):
                        count += len(read)
                        waiting.add(read, entity_parts(read[view.entity.join_key], parts))
                for part in range(parts):
                    rows = rows_of(view, waiting.take(part), taken.generation)
                    yield from rows.to_batches(max_chunksize=_ROWS_AT_ONCE)

        self._commit(pa.RecordBatchReader.from_batches(tile_schema(view), batches()), taken)
        return count

    def _clear(self, taken: Taken) -> None:
        """Begin with no tiles."""
        empty = tile_schema(self._view).empty_table()
        self._commit(empty, taken, anew=True)

    def _commit(
        self, rows: pa.Table | pa.RecordBatchReader, taken: Taken, *, anew: bool = False
    ) -> None:
        held = self.taken
        if held is not None and held.generation > taken.generation:
            raise overtaken(self._view.name)
        numbers = {
            "source": taken.source,
            "version": taken.version,
            "known": taken.known_ms,
            "until": (taken.until - _EPOCH_DAY).days + _DAYS_BEFORE,
            "anew": taken.anew,
            "generation": taken.generation,
        }
        with self._warehouse.explaining(self.name, except_for=CommitFailedError):
            try:
                write_deltalake(
                    self._table,
                    rows,
                    mode="overwrite" if anew else "append",
                    commit_properties=CommitProperties(
                        # Onto what was looked at, or not at all: another generation may be at it.
                        max_commit_retries=0,
                        app_transactions=[
                            Transaction(f"{_APPLICATION}:{name}", number)
                            for name, number in numbers.items()
                        ],
                    ),
                )
            except CommitFailedError as error:
                raise overtaken(self._view.name) from error
        self._open()

    def events(self, where: pc.Expression) -> Iterator[pa.Table]:
        """The events of some rows."""
        view = self._view
        names = [view.entity.join_key, COUNT, EVENTS]
        with self._warehouse.explaining(self.name):
            scanner = dataset_of(self._table).scanner(
                columns=names,
                filter=where,
                batch_size=1 << 14,
                batch_readahead=2,
                fragment_readahead=1,
            )
            for batch in scanner.to_batches():
                if len(batch):
                    yield events_in(view, pa.Table.from_batches([batch]))

    def keys(self, where: pc.Expression) -> Iterator[pa.Table]:
        """The keys of the entities of some rows."""
        with self._warehouse.explaining(self.name):
            scanner = dataset_of(self._table).scanner(
                columns=[self._view.entity.join_key], filter=where
            )
            for batch in scanner.to_batches():
                if len(batch):
                    yield pa.Table.from_batches([batch])

    def count(self, where: pc.Expression) -> int:
        """How many events some rows have."""
        with self._warehouse.explaining(self.name):
            counts = dataset_of(self._table).to_table(columns=[COUNT], filter=where)
        return pc.sum(counts[COUNT]).as_py() or 0


def since_generation(number: int) -> pc.Expression:
    """The rows that came after a generation."""
    return pc.field(GENERATION) > number


def of_days(first: date | None, end: date) -> pc.Expression:
    """The rows of days from the first, or the very first, to before the end."""
    day = pc.field(EVENT_DATE)
    before = day < pa.scalar(end, pa.date32())
    return before if first is None else before & (day >= pa.scalar(first, pa.date32()))


def _known(view: FeatureView, above_ms: int | None, limit_ms: int) -> pc.Expression | None:
    """The events that were known by a time, and not by another one."""
    name = view.source.available_at
    if name is None:
        return None
    where = pc.field(name) <= limit_ms
    return where if above_ms is None else where & (pc.field(name) > above_ms)


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
