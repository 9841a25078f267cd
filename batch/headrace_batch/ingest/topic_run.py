"""Ingests the topics of event sources into bronze tables: a run of Spark's Structured Streaming.

Each run reads from the offsets that the tables record to the end that the topics have when it
begins. Spark's own checkpoint is one of Spark's temporary folders, gone with the run: nothing is
decided by it.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from headrace_batch.ingest.broker import Broker, TopicNow
from headrace_batch.ingest.contract import Contract, contract_of
from headrace_batch.ingest.counting import Counts
from headrace_batch.ingest.covered import Covered
from headrace_batch.ingest.references import known_values
from headrace_batch.ingest.topic_report import KafkaReport, TopicReport
from headrace_batch.ingest.topic_rows import TopicRows, no_rows, read_rows
from headrace_batch.ingest.topic_start import Start, start_of
from headrace_batch.ingest.topic_tables import TopicTables
from headrace_batch.lineage import topic_outcome, topics_work
from headrace_batch.spark_errors import SparkFailedError, spark_errors
from headrace_batch.spark_session import spark_session
from headrace_batch.warehouse import Warehouse
from headrace_features.engines import unwatched
from headrace_features.lineage.recording import recorded
from headrace_schemas.kafka_clients import java_properties

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

    from headrace_features.definitions.sources import EventSource
    from headrace_features.project import Project
    from headrace_features.row_rules import Known
    from headrace_schemas.settings import Settings

#: Records that go into one commit at most; the driver has their events in memory.
BATCH_RECORDS = 500_000

# How long Spark waits for an answer of the broker, which has just answered us.
_PATIENCE = {
    "kafkaConsumer.pollTimeoutMs": "30000",
    "kafka.default.api.timeout.ms": "15000",
    "kafka.request.timeout.ms": "15000",
    "fetchOffset.numRetries": "1",
}
_LOOK_S = 1


def ingest_topics(  # noqa: PLR0913 - all but the first three have defaults and are named
    settings: Settings,
    project: Project,
    kafka: Mapping[str, str],
    *,
    source: str | None = None,
    skip_lost: bool = False,
    on_progress: Callable[[int], None] | None = None,
    clock: Callable[[], float] = time.monotonic,
) -> KafkaReport:
    """Take the topics of event sources into their bronze tables, each event once.

    However often it runs, and wherever it was stopped: what a table has taken in is recorded with
    its rows. An event whose dedup key the table has, from Kafka or a file, is a duplicate. Records
    that are no events go to the table quarantine.<source> with the reason.

    Args:
        settings: where the warehouse is, and Spark.
        project: declares the sources.
        kafka: the properties of a client as librdkafka names them, `bootstrap.servers` among them.
        source: the only source to ingest; all of them by default.
        skip_lost: go on where the broker has deleted records before they were read.
        on_progress: is told how many records are done.
        clock: seconds that never go back.

    Raises:
        ConfigurationError: an unknown source, a topic that is missing or has lost records, a
            damaged table, no Spark.
        RetryableError: no broker answers, or other writers were in the way.
        SparkFailedError: Spark failed for a reason of its own.
    """
    sources = [project.source(source)] if source else list(project.sources.values())
    works = topics_work(settings, sources)
    with recorded(settings, works) as runs:
        report = _ingest(
            settings, project, sources, kafka, skip_lost, on_progress or unwatched, clock
        )
        for one, work, told in zip(sources, works, report.sources, strict=True):
            runs.end(work.job, partial(topic_outcome, settings, one, told))
    return report


@spark_errors("ingest of topics")
def _ingest(  # noqa: PLR0913, PLR0917 - see `ingest_topics`
    settings: Settings,
    project: Project,
    sources: Sequence[EventSource],
    kafka: Mapping[str, str],
    skip_lost: bool,  # noqa: FBT001 - see `ingest_topics`
    on_progress: Callable[[int], None],
    clock: Callable[[], float],
) -> KafkaReport:
    begun = clock()
    contracts = [contract_of(one) for one in sources]
    properties = java_properties(kafka, lambda path: Path(path).read_text(encoding="ascii"))
    spark = spark_session(settings)
    broker, warehouse = Broker(spark, properties), Warehouse.of(settings)
    # What can't be read is said before anything is written.
    topics = [broker.topic(one.topic) for one in sources]
    runs = []
    for contract, topic in zip(contracts, topics, strict=True):
        tables = TopicTables(warehouse, contract, topic)
        known = known_values(warehouse, contract.source, project.sources)
        start = start_of(topic, tables.covered(), contract.source.table, skip_lost=skip_lost)
        runs.append(_Run(contract, topic, tables, start, known))
    done = 0
    for run in runs:
        told = _later(on_progress, done)
        if run.is_behind:
            _drain(_stream(spark, properties, run), run, broker, told)
        done += run.rows
    return KafkaReport(tuple(run.report(warehouse) for run in runs), clock() - begun)


class _Run:
    """The ingest of one topic, as far as it is."""

    def __init__(
        self,
        contract: Contract,
        topic: TopicNow,
        tables: TopicTables,
        start: Start,
        known: Known,
    ) -> None:
        self.contract = contract
        self.topic = topic
        self.start = start
        self._tables = tables
        self._known = known
        self._covered = start.offsets
        self._counts = Counts()
        if start.skips or not self.is_behind:
            # What is skipped would else have to be said again, as long as there is nothing to read;
            # and of a topic without records nobody would know that the table has all of them.
            self._commit(no_rows(contract))

    @property
    def is_behind(self) -> bool:
        """Whether the topic has more than the table."""
        return self.topic.latest != self.start.offsets

    @property
    def rows(self) -> int:
        """How many records were read."""
        return self._counts.rows

    def take(self, records: DataFrame) -> None:
        """Commit the next records of the topic."""
        self._commit(read_rows(records, self.contract, self._known))

    def require_no_loss(self, now: TopicNow) -> None:
        """Raise ConfigurationError where the topic has lost records since this run began."""
        had = Covered(self.topic.identity, self._covered)
        start_of(now, had, self.contract.source.table, skip_lost=False)

    def report(self, warehouse: Warehouse) -> TopicReport:
        """What this run did."""
        source = self.contract.source
        return TopicReport(
            source=source.name,
            topic=source.topic,
            table=source.table,
            table_uri=warehouse.uri(source.table),
            quarantine_table_uri=warehouse.uri(self.contract.quarantine_table),
            rows=self._counts.rows,
            ingested=self._counts.ingested,
            duplicates=self._counts.duplicates,
            rejected=self._counts.rejected,
            already_ingested=self._counts.already_ingested,
            first=self.start.offsets,
            covered=self._covered,
            notes=self.start.notes,
        )

    def _commit(self, rows: TopicRows) -> None:
        counts, self._covered = self._tables.take(rows, self._covered)
        self._counts += counts


def _stream(spark: SparkSession, properties: Mapping[str, str], run: _Run) -> DataFrame:
    """The records of a topic from where its table ends, in micro-batches of a limited size."""
    name, offsets = run.topic.name, run.start.offsets
    return (
        spark.readStream.format("kafka")
        .options(**{f"kafka.{key}": value for key, value in properties.items()})
        .options(**_PATIENCE)
        .option("assign", json.dumps({name: sorted(offsets)}))
        .option("startingOffsets", json.dumps({name: offsets}))
        .option("failOnDataLoss", "true")
        .option("maxOffsetsPerTrigger", BATCH_RECORDS)
        .load()
    )


def _drain(
    records: DataFrame, run: _Run, broker: Broker, on_progress: Callable[[int], None]
) -> None:
    """Take what a stream has at its start, micro-batch by micro-batch."""
    try:
        _run_query(records, run, on_progress)
    except SparkFailedError:
        # What may have happened to the broker meanwhile is said as it is at the beginning.
        run.require_no_loss(broker.topic(run.topic.name))
        raise


def _run_query(records: DataFrame, run: _Run, on_progress: Callable[[int], None]) -> None:
    failed: list[Exception] = []

    def take(batch: DataFrame, _: int) -> None:
        if failed:
            return
        try:
            with spark_errors(f"ingest of topic {run.topic.name}"):
                run.take(batch)
            on_progress(run.rows)
        except Exception as error:  # noqa: BLE001 - raised below; from here py4j would only log it
            failed.append(error)

    with spark_errors(f"ingest of topic {run.topic.name}"):
        query = records.writeStream.foreachBatch(take).trigger(availableNow=True).start()
        try:
            while not query.awaitTermination(_LOOK_S) and not failed:
                pass
        finally:
            query.stop()
    if failed:
        raise failed[0]


def _later(on_progress: Callable[[int], None], before: int) -> Callable[[int], None]:
    """Tells of records of one topic, given those of the topics before it."""

    def told(rows: int) -> None:
        on_progress(before + rows)

    return told
