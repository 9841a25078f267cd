"""Takes checked rows of a file into the tables of one source, chunk by chunk."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
import pyarrow as pa
from deltalake import DeltaTable

from headrace_batch.ingest.appending import Appender, IngestOf
from headrace_batch.ingest.checks import CheckedRows, quarantined
from headrace_batch.ingest.contract import QUARANTINE_SCHEMA, Contract
from headrace_batch.ingest.counting import Counts, source_report
from headrace_batch.ingest.known_keys import NO_KEYS, KnownKeys
from headrace_batch.ingest.raw_rows import Numbers, RefusedRow
from headrace_batch.ingest.report import SourceReport
from headrace_batch.ingest.unkept import keep_rejected
from headrace_batch.warehouse import Warehouse
from headrace_schemas.tables import EVENT_DATE


class SourceTables:
    """The bronze table and the table of rejected rows of one source, during one ingest.

    Feed files one after the other: `begin`, then `add` and `commit` in turn. A chunk's rejected
    rows are committed first and its events last, so that the progress recorded with the events
    never runs ahead of anything.
    """

    def __init__(self, contract: Contract, warehouse: Warehouse) -> None:
        """Nothing is created or read before the first file begins."""
        self.contract = contract
        self._warehouse = warehouse
        self._key = contract.source.dedup_key
        self._bronze = Appender(
            warehouse, contract.source.table, contract.bronze_schema, (EVENT_DATE,)
        )
        self._rejected = Appender(warehouse, contract.quarantine_table, QUARANTINE_SCHEMA)
        self._known = KnownKeys(self._key)
        self._ingest = IngestOf("", "")
        self._done = 0
        self._good: list[pa.Table] = []
        self._numbers: list[Numbers] = []
        self._refused: list[RefusedRow] = []
        self._ids: list[str] = []
        self._counts: list[Counts] = []

    def begin(self, ingest: IngestOf, *, again: bool = False) -> int:
        """Start with a file; the number of the last of its rows that is already dealt with.

        With `again` that is since a day was set aside last.
        """
        table = self._bronze.opened()
        self._ingest = ingest.again(table) if again else ingest
        self._ids.append(ingest.ingest_id)
        self._done = self._ingest.progress(table)
        self._counts.append(Counts(rows=self._done, already_ingested=self._done))
        return self._done

    @property
    def done(self) -> int:
        """The number of the last row of the file that the bronze table reflects."""
        return self._done

    @property
    def pending_bytes(self) -> int:
        """How much the events that wait for a commit take."""
        return sum(table.nbytes for table in self._good)

    @property
    def pending_rejected(self) -> int:
        """How many rejected rows wait for a commit."""
        return len(self._refused)

    def add(self, rows: CheckedRows) -> None:
        """Keep rows for the next commit."""
        self._good.append(rows.good)
        self._numbers.append(rows.numbers)
        self._refused.extend(rows.rejected)

    def commit(self, upto: int) -> None:
        """Commit what was added, which has to be all rows after `done` and up to `upto`."""
        if upto <= self._done:
            return
        refused = self._refused
        if refused:
            stored = quarantined(refused, self._ingest.ingest_id, self._ingest.file)
            # A row that is rejected again is the one that is kept from the first time.
            keep_rejected(self._rejected, self._ingest.once, stored, upto)
        good = pa.concat_tables([self._bronze.schema.empty_table(), *self._good])
        numbers = np.concatenate([np.empty(0, np.int64), *self._numbers])
        self._good, self._numbers, self._refused = [], [], []
        events = _NewEvents(good, numbers, self._known, self.contract)
        appended = self._bronze.append(self._ingest, upto, events.after)
        before = appended.done_before
        if before < upto:
            self._known.added(appended.table, events.new)
        fresh = int(np.count_nonzero(events.new.at)) if before < upto else 0
        rejected = Counter(row.problems[0].code for row in refused if row.number > before)
        self._counts.append(
            Counts(
                rows=upto - self._done,
                ingested=fresh,
                duplicates=upto - before - fresh - rejected.total(),
                rejected=rejected,
                already_ingested=before - self._done,
            )
        )
        self._done = upto

    def report(self, ignored: Sequence[str] = ()) -> SourceReport:
        """What became of the rows of all files so far; `ignored` columns of theirs are told."""
        return source_report(self.contract, self._warehouse, self._ids, self._counts, ignored)


class _NewEvents:
    """The events of a chunk that a table does not have yet; remembers the last answer."""

    def __init__(
        self, good: pa.Table, numbers: Numbers, known: KnownKeys, contract: Contract
    ) -> None:
        self._good = good
        self._numbers = numbers
        self._known = known
        self._key = contract.source.dedup_key
        self._time = contract.source.event_time
        self.new = NO_KEYS

    def after(self, table: DeltaTable, done: int) -> pa.Table:
        """The events of rows after number `done` whose keys the table does not have."""
        rows = self._good.slice(int(np.searchsorted(self._numbers, done, side="right")))
        keys = pa.concat_arrays(rows.column(self._key).chunks)
        self.new = self._known.new(table, keys)
        if not self.new.at.all():
            rows = rows.filter(pa.array(self.new.at))
        return in_time_order(rows, self._time)


def in_time_order(rows: pa.Table, event_time: str) -> pa.Table:
    """The rows by time: one file for each day, whose row groups can be skipped by time."""
    times = rows.column(event_time).to_numpy()
    if (times[1:] >= times[:-1]).all():
        return rows
    return rows.combine_chunks().take(pa.array(np.argsort(times, kind="stable")))
