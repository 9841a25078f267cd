"""Takes records of a topic into the tables of its source, one micro-batch after the other.

What a bronze table has taken in of a partition is everything before one offset, and each commit
moves that offset as it adds what lies between: so a record is never left out and never taken in
twice, whatever is killed, and whoever else does the same at the time. Spark knows none of this:
it brings the records, and their events are committed here as those of files are.
"""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc
from deltalake import DeltaTable, Transaction

from headrace_batch.ingest.appending import Addition, Appender, IngestOf, this_process
from headrace_batch.ingest.checks import with_date
from headrace_batch.ingest.contract import POSITION_SCHEMA, QUARANTINE_SCHEMA, Contract
from headrace_batch.ingest.counting import Counts
from headrace_batch.ingest.covered import Covered, covered_in, recorded, times_told
from headrace_batch.ingest.known_keys import NO_KEYS, KnownKeys
from headrace_batch.ingest.source_tables import in_time_order
from headrace_batch.ingest.topic_rows import TopicRows
from headrace_batch.ingest.unkept import unkept
from headrace_batch.warehouse import Warehouse
from headrace_schemas.tables import EVENT_DATE, KAFKA_OFFSET, KAFKA_PARTITION, KAFKA_TOPIC

if TYPE_CHECKING:
    from headrace_batch.ingest.broker import TopicNow


class TopicTables:
    """The bronze table and the table of rejected records of one source, fed from its topic."""

    def __init__(self, warehouse: Warehouse, contract: Contract, topic: TopicNow) -> None:
        """Nothing is created or read yet."""
        self._contract = contract
        self._topic = topic
        schema = pa.schema([*contract.bronze_schema, *POSITION_SCHEMA])
        self._bronze = Appender(warehouse, contract.source.table, schema, (EVENT_DATE,))
        self._rejected = Appender(warehouse, contract.quarantine_table, QUARANTINE_SCHEMA)
        self._known = KnownKeys(contract.source.dedup_key)

    def covered(self) -> Covered:
        """What the bronze table has taken in of the topic, and of one that had its name."""
        return covered_in(self._bronze.opened(), self._topic.name)

    def take(self, rows: TopicRows, first: Mapping[int, int]) -> tuple[Counts, Mapping[int, int]]:
        """Commit records of the topic.

        Args:
            rows: the records, and all of them that the topic has from the `first` offsets on to
                the last that is among them.
            first: the offset of every partition with which they begin. The table has everything
                before, or it is lost.

        Returns:
            What became of them, and the offset of every partition before which the table has
            everything now.
        """
        ends = {**first, **rows.ends}
        if rows.refused.num_rows:
            self._keep(rows.refused, first, ends)
        counts, covered, new = Counts(), ends, NO_KEYS

        def made(table: DeltaTable) -> Addition | None:
            nonlocal counts, covered, new
            had = covered_in(table, self._topic.name)
            done = had.of(self._topic.identity)
            begin = {number: max(offset, done.get(number, 0)) for number, offset in first.items()}
            covered = {number: max(end, begin[number]) for number, end in ends.items()}
            left = rows.since(begin)
            new = self._known.new(table, _keys(left.good, self._contract))
            counts = _counts(rows, left, new.hashes.size)
            if covered == done:
                return None
            return Addition(
                self._stored(left.good.filter(pa.array(new.at))),
                self._told(begin, covered),
                [
                    *recorded(
                        self._topic.name,
                        self._topic.identity,
                        covered,
                        {number: first for number, first in begin.items() if number not in done},
                    ),
                    *times_told(table, self._topic.name, self._newest(left.good), _now_ms()),
                ],
            )

        table = self._bronze.append_next(made)
        self._known.added(table, new)
        return counts, covered

    def _newest(self, events: pa.Table) -> dict[int, dict[str, int]]:
        """By partition the greatest of its events' times, and of those at which they were known."""
        source = self._contract.source
        columns = [source.event_time, *filter(None, [source.available_at])]
        greatest = [(column, "max") for column in columns]
        found = events.group_by(KAFKA_PARTITION).aggregate(greatest).to_pylist()
        return {
            row[KAFKA_PARTITION]: {column: row[f"{column}_max"] for column in columns}
            for row in found
        }

    def _stored(self, events: pa.Table) -> pa.Table:
        source = self._contract.source
        dated = with_date(events, source.event_time)
        topic = pa.array([self._topic.name] * dated.num_rows, pa.string())
        rows = dated.append_column(KAFKA_TOPIC, topic).select(self._bronze.schema.names)
        return in_time_order(rows, source.event_time)

    def _keep(self, refused: pa.Table, first: Mapping[int, int], ends: Mapping[int, int]) -> None:
        """Commit the records that are no events, but those that a run that died has committed."""
        ingests = {number: self._ingest(number) for number in ends}
        stored = self._as_rejected(refused, ingests)

        def made(table: DeltaTable) -> Addition | None:
            done = {
                number: max(first[number], ingest.progress(table))
                for number, ingest in ingests.items()
            }
            # What is recorded is the offset after the last.
            last = {ingests[number].ingest_id: offset - 1 for number, offset in done.items()}
            rows = unkept(table, stored, last)
            if not rows.num_rows:
                return None
            return Addition(
                rows,
                self._told(done, ends),
                [
                    Transaction(ingest.application, max(ends[number], done[number]))
                    for number, ingest in ingests.items()
                ],
            )

        self._rejected.append_next(made)

    def _ingest(self, partition: int) -> IngestOf:
        """The ingest of one partition under this contract, for the table of rejected records."""
        content = f"{self._topic.name}/{self._topic.identity}/{partition}"
        name = f"kafka://{self._topic.name}/{partition}"
        return IngestOf(self._contract.ingest_id("kafka", content), name)

    @staticmethod
    def _as_rejected(rows: pa.Table, ingests: Mapping[int, IngestOf]) -> pa.Table:
        of = [ingests[number] for number in rows.column(KAFKA_PARTITION).to_pylist()]
        return pa.table(
            {
                "ingest_id": [ingest.ingest_id for ingest in of],
                "file": [ingest.file for ingest in of],
                "row_number": rows.column(KAFKA_OFFSET),
                **{name: rows.column(name) for name in ("reasons", "columns", "raw", "event")},
            },
            schema=QUARANTINE_SCHEMA,
        )

    def _told(self, begin: Mapping[int, int], end: Mapping[int, int]) -> dict[str, str]:
        return {
            "headrace.file": f"kafka://{self._topic.name}",
            "headrace.offsets": json.dumps({"from": begin, "before": end}),
            "headrace.process": this_process(),
        }


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


def _keys(events: pa.Table, contract: Contract) -> pa.Array:
    chunks = events.column(contract.source.dedup_key).chunks
    return pa.concat_arrays([pa.array([], pa.string()), *chunks])


def _counts(rows: TopicRows, left: TopicRows, ingested: int) -> Counts:
    reasons = Counter(pc.list_element(left.refused.column("reasons"), 0).to_pylist())
    return Counts(
        rows=rows.rows,
        ingested=ingested,
        duplicates=left.good.num_rows - ingested,
        rejected=dict(reasons),
        already_ingested=rows.rows - left.rows,
    )
