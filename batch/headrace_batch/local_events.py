"""Events of a source read from its table without Spark, a piece at a time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

from headrace_batch.backfill_rows import day_of
from headrace_batch.ingest.covered import covered_in
from headrace_batch.warehouse import Warehouse, dataset_of
from headrace_features.kernel.prepare import ARROW_TYPES
from headrace_schemas.tables import EVENT_DATE

if TYPE_CHECKING:
    from deltalake import DeltaTable

    from headrace_features.definitions.sources import EventSource

_BATCH_ROWS = 1 << 17
_FILE_DATE = f"partition.{EVENT_DATE}"


@dataclass(frozen=True, slots=True)
class Span:
    """Event times from the first to the last, both included; None is from the beginning."""

    first_ms: int | None
    last_ms: int


class Events:
    """The events of a source, as its table was when this was made, or at one of its versions.

    Attributes:
        version: of the table.

    Raises:
        ConfigurationError: there is no such table or version, or it is damaged.
    """

    def __init__(
        self, warehouse: Warehouse, source: EventSource, version: int | None = None
    ) -> None:
        self._warehouse = warehouse
        self._source = source
        self._table: DeltaTable = warehouse.open(source.table)
        if version is not None:
            with warehouse.explaining(source.table):
                self._table.load_as_version(version)
        self.version = self._table.version()
        self.schema = pa.schema([(c.name, ARROW_TYPES[c.type]) for c in source.columns])

    def covered(self) -> Mapping[int, int]:
        """For each partition of the source's topic the offset before which the table has all."""
        return covered_in(self._table, self._source.topic).offsets

    def most(self, span: Span) -> int:
        """How many events the days of a span have, by the statistics of the table."""
        return sum(count for _, count in self.by_day(span))

    def by_day(self, span: Span) -> list[tuple[date, int]]:
        """The days of a span that have events, in order, and how many, by the same statistics."""
        files = pa.table(self._table.get_add_actions(flatten=True))
        if not len(files):
            return []
        of_day = (
            files.filter(_days(span, _FILE_DATE))
            .group_by(_FILE_DATE)
            .aggregate([("num_records", "sum")])
            .sort_by(_FILE_DATE)
        )
        days, counts = of_day[_FILE_DATE].to_pylist(), of_day["num_records_sum"].to_pylist()
        return list(zip(days, counts, strict=True))

    def read(self, columns: Sequence[str], span: Span) -> Iterator[pa.Table]:
        """Tables of some columns, in no particular order."""
        time_ms = pc.field(self._source.event_time)
        where = _days(span, EVENT_DATE) & (time_ms <= span.last_ms)
        if span.first_ms is not None:
            where &= time_ms >= span.first_ms
        schema = pa.schema([self.schema.field(name) for name in columns])
        with self._warehouse.explaining(self._source.table):
            scanner = dataset_of(self._table).scanner(
                columns=list(columns),
                filter=where,
                batch_size=_BATCH_ROWS,
                # What is read ahead waits in memory: no more than keeps the reader busy.
                batch_readahead=4,
                fragment_readahead=2,
            )
            for batch in scanner.to_batches():
                if len(batch):
                    yield pa.Table.from_batches([batch]).cast(schema)


def _days(span: Span, column: str) -> pc.Expression:
    day = pc.field(column)
    until = day <= pa.scalar(day_of(span.last_ms), pa.date32())
    if span.first_ms is None:
        return until
    return until & (day >= pa.scalar(day_of(span.first_ms), pa.date32()))
