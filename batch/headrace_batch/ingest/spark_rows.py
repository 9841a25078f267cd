"""The rows of a file as Spark frames: read and checked on workers, as in-process.

A Parquet file is divided by its row groups; lines and CSV are read by one worker, since only
reading tells where a row begins and which number it has. Each frame reads the file anew: that
takes less time than to keep the rows of one for the other.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import pyarrow as pa
from pyspark.sql import types

from headrace_batch.ingest.appending import IngestOf
from headrace_batch.ingest.checks import CheckedRows, Circumstances, check, quarantined
from headrace_batch.ingest.feeds import Feed
from headrace_batch.ingest.input_files import FileKind, InputFile
from headrace_batch.ingest.parquet_reader import row_group_rows
from headrace_batch.ingest.raw_rows import RawRows
from headrace_batch.ingest.reading import read_rows
from headrace_batch.ingest.sent_feed import SentFeed
from headrace_batch.spark_kernel import spark_schema

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

#: The number of an event's row in its file; no column of a contract begins with an underscore.
ROW = "_row"

_PIECE_ROWS = 1_000_000
_BATCH_ROWS = 65_536
_COUNTS = pa.schema([("reason", pa.string()), ("rows", pa.int64()), ("last", pa.int64())])
_WORDS = types.ArrayType(types.StringType())
_REJECTED = types.StructType(
    [
        types.StructField("ingest_id", types.StringType()),
        types.StructField("file", types.StringType()),
        types.StructField("row_number", types.LongType()),
        types.StructField("reasons", _WORDS),
        types.StructField("columns", _WORDS),
        types.StructField("raw", types.StringType()),
        types.StructField("event", types.StringType()),
    ]
)


@dataclass(frozen=True, slots=True)
class Piece:
    """The rows of a file with numbers above `after` and up to `upto`, or to its end."""

    after: int
    upto: int | None


@dataclass(frozen=True, slots=True)
class Judged:
    """The number of the last row, 0 where there is none, and rejected rows by first reason."""

    last: int
    rejected: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class FileOnSpark:
    """A file as one of the feeds that it has takes it.

    `feeds` are all of them: the text of a rejected row has the columns that any of them reads.
    `circumstances` are those of `check`: one time, however often the rows are read.
    """

    spark: SparkSession
    file: InputFile
    feed: Feed
    feeds: Sequence[Feed]
    circumstances: Circumstances

    def judged(self, after: int) -> Judged:
        """What there is to the rows with numbers above `after`."""
        found = self._frame(after, _counted, spark_schema(_COUNTS)).collect()
        rejected: Counter[str] = Counter()
        for reason, rows, _ in found:
            if reason is not None:
                rejected[reason] += rows
        return Judged(max((last for _, _, last in found), default=0), rejected)

    def events(self, after: int) -> DataFrame:
        """The good rows with numbers above `after`: the columns of the bronze table, and ROW."""
        columns = spark_schema(self.feed.contract.bronze_schema).fields
        row = types.StructField(ROW, types.LongType())
        return self._frame(after, _events, types.StructType([*columns, row]))

    def rejected(self, after: int, ingest: IngestOf) -> DataFrame:
        """The rejected rows with numbers above `after`, as they are stored."""
        return self._frame(after, partial(_rejected, ingest), _REJECTED)

    def _frame(
        self, after: int, make: Callable[[CheckedRows], pa.Table], schema: types.StructType
    ) -> DataFrame:
        """What is made of each batch of the rows with numbers above `after`."""
        file, circumstances, pieces = self.file, self.circumstances, _pieces(self.file, after)
        sent, all_sent = SentFeed(self.feed), [SentFeed(feed) for feed in self.feeds]

        def run(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
            feed, feeds = sent.feed, [one.feed for one in all_sent]
            for batch in batches:
                for number in batch.column(0).to_pylist():
                    for raw in _raw_rows(file, feeds, pieces[number]):
                        checked = check(raw, feed.take(raw.table), feed.contract, circumstances)
                        yield from make(checked).to_batches(max_chunksize=_BATCH_ROWS)

        # One number for each partition.
        numbers = self.spark.range(0, len(pieces), numPartitions=max(1, len(pieces)))
        return numbers.mapInArrow(run, schema)


def _pieces(file: InputFile, after: int) -> Sequence[Piece]:
    if file.kind is not FileKind.PARQUET:
        return [Piece(after, None)]
    pieces: list[Piece] = []
    first = end = 0
    for rows in row_group_rows(file):
        end += rows
        if end - first >= _PIECE_ROWS:
            pieces.append(Piece(max(first, after), end))
            first = end
    pieces.append(Piece(max(first, after), end))
    return [piece for piece in pieces if piece.upto is not None and piece.upto > piece.after]


def _raw_rows(file: InputFile, feeds: Sequence[Feed], piece: Piece) -> Iterator[RawRows]:
    """The rows of a piece; no batch goes across the end of a row group, where pieces end."""
    for raw in read_rows(file, feeds, piece.after):
        yield raw
        if raw.last == piece.upto:
            return


def _counted(checked: CheckedRows) -> pa.Table:
    """How many rows there are for each first reason, null for the good ones, and the last."""
    reasons: Counter[str | None] = Counter(row.problems[0].code for row in checked.rejected)
    reasons[None] = checked.good.num_rows
    numbers = [row.number for row in checked.rejected] + checked.numbers[-1:].tolist()
    last = max(numbers, default=0)
    return pa.table([list(reasons), list(reasons.values()), [last] * len(reasons)], schema=_COUNTS)


def _events(checked: CheckedRows) -> pa.Table:
    return checked.good.append_column(ROW, pa.array(checked.numbers))


def _rejected(ingest: IngestOf, checked: CheckedRows) -> pa.Table:
    return quarantined(list(checked.rejected), ingest.ingest_id, ingest.file)
