"""Ingests files into bronze tables on Spark: the same tables as in-process, of any size.

Keys are compared by joins, so a table may have more rows than a driver could know the keys of.
Workers read the files themselves: these have to lie where all of them can. One file is one commit.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING

from pyspark.sql import Window
from pyspark.sql import functions as F  # noqa: N812 - the name it has everywhere

from headrace_batch.ingest.appending import Addition, Appender, IngestOf
from headrace_batch.ingest.checks import Circumstances
from headrace_batch.ingest.contract import QUARANTINE_SCHEMA, Contract
from headrace_batch.ingest.counting import Counts, source_report
from headrace_batch.ingest.feeds import Feed
from headrace_batch.ingest.input_files import InputFile, find_files
from headrace_batch.ingest.reading import feeds_of, require_columns
from headrace_batch.ingest.references import known_values
from headrace_batch.ingest.report import IngestReport
from headrace_batch.ingest.spark_rows import ROW, FileOnSpark, Judged
from headrace_batch.ingest.unkept import keep_rejected
from headrace_batch.lineage import files_outcome, files_work
from headrace_batch.spark_errors import spark_errors
from headrace_batch.spark_session import spark_session
from headrace_batch.warehouse import Warehouse
from headrace_features.lineage.recording import recorded
from headrace_features.project import Project
from headrace_schemas.errors import RetryableError
from headrace_schemas.settings import Settings
from headrace_schemas.tables import EVENT_DATE

if TYPE_CHECKING:
    from deltalake import DeltaTable
    from pyspark.sql import DataFrame, SparkSession

#: How often rows are written anew because somebody else has committed first.
ATTEMPTS = 5

_RANK = "_rank"


def ingest_on_spark(  # noqa: PLR0913 - all but the first three have defaults and are named
    settings: Settings,
    project: Project,
    place: str,
    *,
    file_format: str | None = None,
    source: str | None = None,
    arrived_ms: int | None = None,
    again: bool = False,
    clock: Callable[[], float] = time.monotonic,
    wall: Callable[[], float] = time.time,
) -> IngestReport:
    """Take files of events into the bronze tables of their sources, each event once.

    Arguments, tables and report are those of `headrace_batch.ingest.run.ingest`, and files that
    one of the two has taken in are known to the other.

    Raises:
        ConfigurationError: nothing to read, a file that can't be read, a column that is missing
            or of the wrong type, a damaged table, no Spark.
        UnsupportedError: a format or a suffix that is not read.
        RetryableError: other writers were in the way.
        SparkFailedError: Spark failed for a reason of its own.
    """
    start = clock()
    files = find_files(place, file_format, settings.warehouse.storage_options)
    feeds = feeds_of(project, file_format, source)
    ignored = require_columns(files, feeds)
    sources = [feed.contract.source for feed in feeds]
    works = files_work(settings, sources, (file.url for file in files))
    with recorded(settings, works) as runs:
        # Only now: what can't be done needs no session.
        spark = spark_session(settings)
        warehouse = Warehouse.of(settings)
        now_ms = int(wall() * 1000)
        writers = [
            _Writer(
                spark,
                warehouse,
                feed,
                feeds,
                Circumstances(
                    now_ms,
                    arrived_ms,
                    known_values(warehouse, feed.contract.source, project.sources),
                ),
            )
            for feed in feeds
        ]
        rows = 0
        for file in files:
            content = file.content_hash()
            rows += max(
                writer.take(file, file_format or file.kind, content, again=again)
                for writer in writers
            )
        report = IngestReport(
            files=tuple(file.url for file in files),
            format=file_format or ", ".join(sorted({file.kind for file in files})),
            rows=rows,
            seconds=clock() - start,
            sources=tuple(
                source_report(writer.contract, warehouse, writer.ids, writer.counts, ignored)
                for writer in writers
            ),
        )
        for one, work, done in zip(sources, works, report.sources, strict=True):
            runs.end(work.job, partial(files_outcome, settings, one, work, done))
    return report


class _Writer:
    """Takes files into the tables of one source."""

    def __init__(
        self,
        spark: SparkSession,
        warehouse: Warehouse,
        feed: Feed,
        feeds: Sequence[Feed],
        circumstances: Circumstances,
    ) -> None:
        self._spark = spark
        self._circumstances = circumstances
        self._feed = feed
        self._feeds = feeds
        self.contract: Contract = feed.contract
        source = self.contract.source
        self._bronze = Appender(warehouse, source.table, self.contract.bronze_schema, (EVENT_DATE,))
        self._rejected = Appender(warehouse, self.contract.quarantine_table, QUARANTINE_SCHEMA)
        self.ids: list[str] = []
        self.counts: list[Counts] = []

    def take(self, file: InputFile, file_format: str, content: str, *, again: bool) -> int:
        """Take one file in; the number of its rows."""
        ingest = IngestOf(self.contract.ingest_id(file_format, content), file.url)
        table = self._bronze.opened()
        if again:
            ingest = ingest.again(table)
        done = ingest.progress(table)
        counts = Counts(rows=done, already_ingested=done)
        rows = FileOnSpark(self._spark, file, self._feed, self._feeds, self._circumstances)
        with spark_errors(f"ingest of {file.url}"):
            judged = rows.judged(done)
            if judged.rejected:
                # A row that is rejected again is the one that is kept from the first time.
                self._keep_rejected(rows, ingest.once, judged, done)
            if judged.last:
                counts = self._append(rows, ingest, judged, done)
        if ingest.after:
            self._record_once(ingest, counts.rows)
        self.ids.append(ingest.ingest_id)
        self.counts.append(counts)
        return counts.rows

    def _keep_rejected(
        self, rows: FileOnSpark, ingest: IngestOf, judged: Judged, judged_after: int
    ) -> None:
        """Commit the rejected rows, but those that are there from another run."""
        for attempt in range(1, ATTEMPTS + 1):
            table = self._rejected.opened()
            if ingest.progress(table) > judged_after:
                break
            with _conflict_ignored(self._rejected.table, attempt):
                found = rows.rejected(judged_after, ingest)
                self._write(found, self._rejected, ingest, judged.last)
            if self._rows_written(self._rejected, ingest, table.version()) is not None:
                return
        self._keep_others(rows.rejected(judged_after, ingest), ingest, judged.last)

    def _keep_others(self, found: DataFrame, ingest: IngestOf, upto: int) -> None:
        """Commit those rejected rows that another run, which has dealt with them, has not."""
        there = self._spark.read.format("delta").load(self._uri(self._rejected))
        left = found.join(there, ["ingest_id", "row_number"], "left_anti")
        others = left.select(*QUARANTINE_SCHEMA.names).toArrow().cast(QUARANTINE_SCHEMA)
        keep_rejected(self._rejected, ingest, others, upto)

    def _append(
        self, rows: FileOnSpark, ingest: IngestOf, judged: Judged, judged_after: int
    ) -> Counts:
        """Commit the events whose keys are new, and count all rows."""
        upto = judged.last
        for attempt in range(1, ATTEMPTS + 1):
            table = self._bronze.opened()
            done = ingest.progress(table)
            if done >= upto:
                break
            with _conflict_ignored(self._bronze.table, attempt):
                self._write(self._new_events(rows.events(done)), self._bronze, ingest, upto)
            written = self._rows_written(self._bronze, ingest, table.version())
            if written is not None:
                rejected = (judged if done == judged_after else rows.judged(done)).rejected
                return Counts(
                    rows=upto,
                    ingested=written,
                    duplicates=upto - done - written - sum(rejected.values()),
                    rejected=rejected,
                    already_ingested=done,
                )
        return Counts(rows=upto, already_ingested=upto)

    def _record_once(self, ingest: IngestOf, upto: int) -> None:
        """Have a content that came in again known as taken in: Spark records one transaction."""

        def made(table: DeltaTable) -> Addition | None:
            if ingest.once.progress(table) >= upto:
                return None
            none = self._bronze.schema.empty_table()
            return Addition(none, ingest.told(), ingest.recorded(table, upto))

        self._bronze.append_next(made)

    def _new_events(self, events: DataFrame) -> DataFrame:
        """The events whose keys are neither earlier in the file nor in the table."""
        source = self.contract.source
        key = source.dedup_key
        # Read in the transaction of the write: who appends meanwhile makes that fail.
        known = self._spark.read.format("delta").load(self._uri(self._bronze)).select(key)
        first = Window.partitionBy(key).orderBy(ROW)
        return (
            events.withColumn(_RANK, F.row_number().over(first))
            .where(F.col(_RANK) == 1)
            .join(known, key, "left_anti")
            .select(*self.contract.bronze_schema.names)
            # Brings the rows of a day together: a file or a few for each, however many tasks.
            .hint("rebalance", F.col(EVENT_DATE))
            .sortWithinPartitions(EVENT_DATE, source.event_time)
        )

    def _write(self, rows: DataFrame, to: Appender, ingest: IngestOf, upto: int) -> None:
        (
            rows.write.format("delta")
            .mode("append")
            .option("mergeSchema", "true")
            .option("txnAppId", ingest.application)
            .option("txnVersion", upto)
            .option("userMetadata", json.dumps(ingest.told()))
            .save(self._uri(to))
        )

    @staticmethod
    def _rows_written(to: Appender, ingest: IngestOf, before: int) -> int | None:
        """How many rows this process has committed after version `before`; None if nothing.

        Delta leaves a write out, without a word, where its transaction is already recorded.
        """
        table = to.opened()
        for commit in table.history(table.version() - before):
            if commit.get("userMetadata") == json.dumps(ingest.told()):
                return int(commit["operationMetrics"]["numOutputRows"])
        return None

    @staticmethod
    def _uri(of: Appender) -> str:
        return of.warehouse.uri(of.table)


@contextmanager
def _conflict_ignored(table: str, attempt: int) -> Iterator[None]:
    """Let a write fail where somebody else came first, unless it was the last attempt."""
    busy = RetryableError(
        f"{table} was committed to by others {ATTEMPTS} times in a row",
        hint="run it again when they are done: what is ingested stays, and is not repeated",
    )
    try:
        with spark_errors(f"ingest into {table}", conflict=busy):
            yield
    except RetryableError as error:
        if error is not busy or attempt == ATTEMPTS:
            raise
