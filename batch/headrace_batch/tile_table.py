"""The table of a view's tiles: which events it has, and how others come into it.

Each commit says, by Delta application transactions beside its rows, up to which version of the
events' table it has them and of which days; so a run that is repeated, or was killed, goes on where
it stood, and no event comes in twice.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import date, timedelta
from typing import TYPE_CHECKING, NamedTuple, Protocol, TypeAlias

import pyarrow as pa
import pyarrow.compute as pc
from deltalake import CommitProperties, DeltaTable, Transaction, write_deltalake
from deltalake.exceptions import CommitFailedError

from headrace_batch.event_files import EventFiles
from headrace_batch.meaning import FINGERPRINT, require_meaning
from headrace_batch.tile_intake import DAYS_BEFORE, EPOCH_DAY, Intake, Taken, intake
from headrace_batch.tile_rows import COUNT, EVENTS, GENERATION, events_in, tile_schema
from headrace_batch.warehouse import Warehouse, dataset_of
from headrace_features.definitions.fingerprint import fingerprint
from headrace_features.online.store import overtaken
from headrace_schemas.tables import EVENT_DATE, tiles_table

if TYPE_CHECKING:
    from deltalake.transaction import AddAction

    from headrace_features.definitions.views import FeatureView
    from headrace_features.kernel.arrays import Ints

#: Takes the number of events done so far.
Advance: TypeAlias = Callable[[int], None]

#: Statistics of the columns before the events: nobody looks for tiles by those.
_PROPERTIES = {"delta.dataSkippingNumIndexedCols": "4"}
_APPLICATION = "headrace.tiles"


class Tiler(Protocol):
    """Makes tiles of events."""

    def rows_at_once(self) -> int:
        """How many events of whole days it makes tiles of in one commit; a day may have more."""

    def take_in(self, tiles: TileTable, bronze: EventFiles, came: Intake, advance: Advance) -> int:
        """Put the tiles of what has come into their table; returns of how many events.

        Args:
            tiles: the table.
            bronze: the table of events.
            came: what has come; the table has been emptied where that is needed.
            advance: takes the number of events done so far.
        """


class TileDays(NamedTuple):
    """Rows of a table of tiles.

    Attributes:
        first: the first day; None is the very first.
        end: the day after the last one.
        came: those that came after the generation of this number alone; None is all.
        whole: all of the days from this one on, whenever they came.
    """

    first: date | None
    end: date
    came: int | None = None
    whole: date | None = None

    @property
    def expression(self) -> pc.Expression:
        """The same for Arrow."""
        day = pc.field(EVENT_DATE)
        where = day < pa.scalar(self.end, pa.date32())
        if self.first is not None:
            where &= day >= pa.scalar(self.first, pa.date32())
        if self.came is None:
            return where
        new = pc.field(GENERATION) > self.came
        if self.whole is not None:
            new |= day >= pa.scalar(self.whole, pa.date32())
        return where & new


def taken_by(table: DeltaTable) -> Taken | None:
    """What a version of a table of tiles has taken in; None for nothing."""
    found = {
        name: table.transaction_version(f"{_APPLICATION}:{name}")
        for name in ("source", "version", "known", "until", "anew", "generation")
    }
    if found["source"] is None:
        return None
    days = (found["until"] or 0) - DAYS_BEFORE
    return Taken(
        found["source"],
        found["version"] or 0,
        found["known"] or 0,
        EPOCH_DAY + timedelta(days),
        found["anew"] or 0,
        found["generation"] or 0,
    )


class TileTable:
    """The tiles of a view.

    Attributes:
        view: whose they are.
        warehouse: where the table is.
        name: of the table.
        taken: what the table has taken in; None for nothing.
        seen: the version of the table of events that `update` has read; None before that.
    """

    seen: int | None

    def __init__(self, warehouse: Warehouse, view: FeatureView) -> None:
        """Open the table, which is made where there is none.

        Raises:
            ConfigurationError: it has the tiles of another definition, or is damaged.
        """
        self.warehouse = warehouse
        self.view = view
        self.name = tiles_table(view.name, view.version)
        self.seen = None
        self._open()

    def _open(self) -> None:
        view, warehouse = self.view, self.warehouse
        table = warehouse.find(self.name) or self._created()
        require_meaning(table, view, warehouse.uri(self.name))
        self._table: DeltaTable = table
        self.taken = taken_by(table)

    def _created(self) -> DeltaTable:
        # Nothing is left behind where there is nothing to make tiles of.
        self.warehouse.open(self.view.source.table)
        return self.warehouse.create(
            self.name,
            tile_schema(self.view),
            partition_by=[EVENT_DATE],
            configuration={FINGERPRINT: fingerprint(self.view), **_PROPERTIES},
        )

    def update(
        self, last: date, known_ms: int | None, generation: int, tiler: Tiler, advance: Advance
    ) -> int:
        """Take in what the table of events has and this one has not; returns how many events.

        Args:
            last: the last day, unless it has later ones already.
            known_ms: see `Taken`; None is all.
            generation: the number of the one that is being built.
            tiler: makes tiles of events.
            advance: takes the number of events done so far.

        Raises:
            RetryableError: another generation has been begun since.
        """
        bronze = EventFiles(self.warehouse, self.view.source)
        self.seen = bronze.version
        came = intake(
            self.view,
            bronze,
            self.taken,
            last=last,
            known_ms=known_ms,
            generation=generation,
            rows=tiler.rows_at_once(),
        )
        if came.emptied is not None:
            self._write(tile_schema(self.view).empty_table(), came.emptied, anew=True)
        return tiler.take_in(self, bronze, came, advance)

    def append(self, rows: pa.Table | pa.RecordBatchReader, taken: Taken) -> None:
        """Put rows in, in one commit, and note what has been taken in with them.

        Raises:
            RetryableError: another generation has been begun since.
        """
        self._write(rows, taken)

    def append_files(self, files: Sequence[AddAction], taken: Taken) -> None:
        """Put rows in that are in files below the table, likewise."""
        if not files:
            self.append(tile_schema(self.view).empty_table(), taken)
            return
        self._commit(
            taken,
            lambda properties: self._table.create_write_transaction(
                list(files),
                "append",
                tile_schema(self.view),
                partition_by=[EVENT_DATE],
                commit_properties=properties,
            ),
        )

    def _write(
        self, rows: pa.Table | pa.RecordBatchReader, taken: Taken, *, anew: bool = False
    ) -> None:
        self._commit(
            taken,
            lambda properties: write_deltalake(
                self._table,
                rows,
                mode="overwrite" if anew else "append",
                commit_properties=properties,
            ),
        )

    def _commit(self, taken: Taken, commit: Callable[[CommitProperties], None]) -> None:
        held = self.taken
        if held is not None and held.generation > taken.generation:
            raise overtaken(self.view.name)
        numbers = {
            "source": taken.source,
            "version": taken.version,
            "known": taken.known_ms,
            "until": (taken.until - EPOCH_DAY).days + DAYS_BEFORE,
            "anew": taken.anew,
            "generation": taken.generation,
        }
        properties = CommitProperties(
            # If another generation has said the same since the version that was looked at, Delta
            # refuses this. Files that were only put together since are in nobody's way.
            app_transactions=[
                Transaction(f"{_APPLICATION}:{name}", number) for name, number in numbers.items()
            ],
        )
        with self.warehouse.explaining(self.name, except_for=CommitFailedError):
            try:
                commit(properties)
            except CommitFailedError as error:
                raise overtaken(self.view.name) from error
        self._open()

    def events(self, where: pc.Expression) -> Iterator[pa.Table]:
        """The events of some rows."""
        view = self.view
        names = [view.entity.join_key, COUNT, EVENTS]
        with self.warehouse.explaining(self.name):
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
        return self._read([self.view.entity.join_key], where)

    def _read(self, columns: list[str], where: pc.Expression) -> Iterator[pa.Table]:
        with self.warehouse.explaining(self.name):
            scanner = dataset_of(self._table).scanner(columns=columns, filter=where)
            for batch in scanner.to_batches():
                if len(batch):
                    yield pa.Table.from_batches([batch])

    def counts(self, where: pc.Expression) -> Iterator[tuple[pa.ChunkedArray, Ints]]:
        """The keys of the entities of some rows, and how many events each row has."""
        for read in self._read([self.view.entity.join_key, COUNT], where):
            yield read[0], read[1].to_numpy()

    def files(self, rows: TileDays) -> list[str]:
        """The files below the table that may have some of these rows, by its log alone."""
        with self.warehouse.explaining(self.name):
            fragments = dataset_of(self._table).get_fragments(rows.expression)
            return [fragment.path for fragment in fragments]
