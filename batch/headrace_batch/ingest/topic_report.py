"""What an ingest from Kafka did, source by source."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class TopicReport:
    """What became of the records of a topic in its source.

    Every record that was read is counted exactly once:
    `rows = ingested + duplicates + sum(rejected.values()) + already_ingested`.

    Attributes:
        source: the name of the event source.
        topic: its topic.
        table: the bronze table, such as bronze.transactions.
        table_uri: where the bronze table lies.
        quarantine_table_uri: where the table of rejected records lies, once there is any.
        rows: records read by this run.
        ingested: records added to the bronze table.
        duplicates: records whose dedup key the table or an earlier record had.
        rejected: records that are no events of the source, by reason, or by the name of a rule.
        already_ingested: records that another run took in at the same time.
        first: for each partition the offset with which this run began.
        covered: for each partition the offset before which the table has everything now.
        notes: what else there is to know.
    """

    source: str
    topic: str
    table: str
    table_uri: str
    quarantine_table_uri: str
    rows: int
    ingested: int
    duplicates: int
    rejected: Mapping[str, int]
    already_ingested: int
    first: Mapping[int, int]
    covered: Mapping[int, int]
    notes: tuple[str, ...]

    @property
    def rejected_rows(self) -> int:
        """Records rejected by this run."""
        return sum(self.rejected.values())


@dataclass(frozen=True, slots=True)
class KafkaReport:
    """What an ingest from Kafka did: one report for each source, and how many seconds it took."""

    sources: tuple[TopicReport, ...]
    seconds: float

    @property
    def rows(self) -> int:
        """Records read from all topics."""
        return sum(source.rows for source in self.sources)
