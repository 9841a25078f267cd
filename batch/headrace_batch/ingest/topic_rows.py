"""Records of a topic as rows: read and judged on workers, brought to the driver in good order."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from operator import attrgetter
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyspark.sql import types

from headrace_batch.ingest.contract import POSITION_SCHEMA, Contract
from headrace_batch.ingest.feeds import plain_feed
from headrace_batch.ingest.raw_rows import text_of
from headrace_batch.ingest.sent_feed import SentFeed
from headrace_features.records import RecordReader
from headrace_features.row_rules import Known, RowRules
from headrace_schemas.errors import BadRecordError
from headrace_schemas.tables import KAFKA_OFFSET, KAFKA_PARTITION

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

_PLACE = [POSITION_SCHEMA.field(KAFKA_PARTITION), POSITION_SCHEMA.field(KAFKA_OFFSET)]
_REFUSED = pa.schema(
    [
        *_PLACE,
        ("reasons", pa.list_(pa.string())),
        ("columns", pa.list_(pa.string())),
        ("raw", pa.string()),
        ("event", pa.string()),
    ]
)
_IN_ORDER = [(KAFKA_PARTITION, "ascending"), (KAFKA_OFFSET, "ascending")]
# A worker's tables travel as bytes: Spark would take them apart into its own rows, and put them
# together again, for nothing.
_SENT = pa.schema([("good", pa.binary()), ("refused", pa.binary())])
_SENT_IN_SPARK = types.StructType(
    [types.StructField(name, types.BinaryType()) for name in _SENT.names]
)


@dataclass(frozen=True, slots=True)
class TopicRows:
    """Some records of a topic; those of a partition are in their order.

    Attributes:
        good: the events: the contract's columns, then partition and offset.
        refused: the others: partition and offset, then as in the table of rejected rows.
    """

    good: pa.Table
    refused: pa.Table

    @property
    def rows(self) -> int:
        """How many records there are."""
        return int(self.good.num_rows + self.refused.num_rows)

    @property
    def ends(self) -> dict[int, int]:
        """For each partition with records the offset after the last of them."""
        ends: dict[int, int] = {}
        for table in (self.good, self.refused):
            last = table.group_by(KAFKA_PARTITION).aggregate([(KAFKA_OFFSET, "max")])
            for row in last.to_pylist():
                number = row[KAFKA_PARTITION]
                ends[number] = max(ends.get(number, 0), row[f"{KAFKA_OFFSET}_max"] + 1)
        return ends

    def since(self, offsets: Mapping[int, int]) -> TopicRows:
        """Those at or after the offset of their partition."""
        return TopicRows(_since(self.good, offsets), _since(self.refused, offsets))


def no_rows(contract: Contract) -> TopicRows:
    """No record at all."""
    return TopicRows(_good_schema(contract).empty_table(), _REFUSED.empty_table())


def read_rows(records: DataFrame, contract: Contract, known: Known) -> TopicRows:
    """The records of a frame of Spark's Kafka source, each of them in one of the two tables.

    `known` has, by rule, the values of other sources.
    """
    sent = SentFeed(plain_feed(contract.source))

    def run(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        judge = Judge(sent.feed.contract, known)
        for batch in batches:
            rows = judge.judged(batch)
            yield pa.record_batch([[_as_bytes(rows.good)], [_as_bytes(rows.refused)]], schema=_SENT)

    parts = (
        records.select("partition", "offset", "timestamp", "value")
        .mapInArrow(run, _SENT_IN_SPARK)
        .toArrow()
    )
    nothing = no_rows(contract)
    return TopicRows(
        _put_together(nothing.good, parts.column("good")),
        _put_together(nothing.refused, parts.column("refused")),
    )


class Judge:
    """Tells events from what is none, on a worker."""

    def __init__(self, contract: Contract, known: Known | None = None) -> None:
        """Prepare for the records of the contract's source."""
        self._rules = RowRules(contract.source, known)
        self._names = contract.schema.names
        self._schema = _good_schema(contract)
        self._reader = RecordReader(contract.source)
        self._values = attrgetter(*(column.name for column in contract.columns))

    def judged(self, batch: pa.RecordBatch) -> TopicRows:
        """The records of a batch with the columns partition, offset, timestamp and value."""
        good: list[tuple[Any, ...]] = []
        refused: list[tuple[Any, ...]] = []
        taken: list[tuple[int, bytes]] = []
        partitions, offsets, _, values = (column.to_pylist() for column in batch.columns)
        sent_at = np.floor_divide(batch.column(2).cast(pa.int64()).to_numpy(), 1000).tolist()
        for partition, offset, value, at in zip(partitions, offsets, values, sent_at, strict=True):
            try:
                event = self._reader.read_by_contract(value, at)
            except BadRecordError as error:
                reasons, concerned = [error.reason.value], [error.field or ""]
                text = text_of(value or b"")
                refused.append((partition, offset, reasons, concerned, text, None))
            else:
                good.append((*self._values(event), partition, offset))
                taken.append((at, value))
        events, broken = self._sifted(_table(good, self._schema), taken)
        return TopicRows(events, _table(refused + broken, _REFUSED))

    def _sifted(
        self, events: pa.Table, taken: list[tuple[int, bytes]]
    ) -> tuple[pa.Table, list[tuple[Any, ...]]]:
        """The events that break no rule, and the others as they are refused."""
        sent_at = np.array([at for at, _ in taken], np.int64)
        found = self._rules.broken_rows(events.select(self._names), sent_at)
        if not found:
            return events, []
        bad = np.logical_or.reduce(list(found.values()))
        rows = np.flatnonzero(bad)
        refused = []
        for row, event in zip(rows, events.take(pa.array(rows)).to_pylist(), strict=True):
            place = event.pop(KAFKA_PARTITION), event.pop(KAFKA_OFFSET)
            names = [name for name, breaks in found.items() if breaks[row]]
            read, text = msgspec.json.encode(event).decode(), text_of(taken[row][1])
            refused.append((*place, names, [""] * len(names), text, read))
        return events.filter(pa.array(~bad)), refused


def _good_schema(contract: Contract) -> pa.Schema:
    return pa.schema([*contract.schema, *_PLACE])


def _table(rows: list[tuple[Any, ...]], schema: pa.Schema) -> pa.Table:
    columns = list(zip(*rows, strict=True)) or [()] * len(schema)
    return pa.table(
        [pa.array(column, field.type) for column, field in zip(columns, schema, strict=True)],
        schema=schema,
    )


def _as_bytes(table: pa.Table) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return bytes(sink.getvalue())


def _put_together(nothing: pa.Table, parts: pa.ChunkedArray) -> pa.Table:
    tables = [pa.ipc.open_stream(part.as_buffer()).read_all() for part in parts]
    return pa.concat_tables([nothing, *tables]).combine_chunks().sort_by(_IN_ORDER)


def _since(table: pa.Table, offsets: Mapping[int, int]) -> pa.Table:
    numbers = pa.array(offsets.keys(), pa.int32())
    first = pa.array(offsets.values(), pa.int64())
    place = pc.index_in(table.column(KAFKA_PARTITION), value_set=numbers)
    return table.filter(pc.greater_equal(table.column(KAFKA_OFFSET), first.take(place)))
