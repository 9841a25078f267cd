"""What an ingest did, source by source, for people and for other programs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from headrace_schemas.errors import BadRecordError
from headrace_schemas.reasons import Reason


@dataclass(frozen=True, slots=True)
class SourceReport:
    """What became of the rows of some files in one source.

    Every row of the files is counted exactly once:
    `rows = ingested + duplicates + sum(rejected.values()) + already_ingested`.

    Attributes:
        source: the name of the event source.
        table: the bronze table, such as bronze.transactions.
        table_uri: where the bronze table lies.
        quarantine_table: the table of rejected rows.
        quarantine_table_uri: where that lies; it exists once a row was rejected.
        rows: rows in the files.
        ingested: rows added to the bronze table by this run.
        duplicates: rows whose dedup key an earlier row had, in the files or in the table.
        rejected: rows that broke the contract or a rule, by their first reason: one of `Reason`, or
            the name of a rule.
        already_ingested: rows that an earlier or a concurrent run has dealt with.
        already_rejected: those of them that were rejected then, by their first reason.
        ignored_columns: columns of the files that no source has which they feed; of lines of JSON
            those of the first one.
        set_aside_waits: whether nothing came in of files that were taken in before, while rows of
            files that were set aside wait.
    """

    source: str
    table: str
    table_uri: str
    quarantine_table: str
    quarantine_table_uri: str
    rows: int
    ingested: int
    duplicates: int
    rejected: Mapping[str, int]
    already_ingested: int
    already_rejected: Mapping[str, int]
    ignored_columns: tuple[str, ...] = ()
    set_aside_waits: bool = False

    @property
    def rejected_rows(self) -> int:
        """Rows rejected by this run."""
        return sum(self.rejected.values())


@dataclass(frozen=True, slots=True)
class IngestReport:
    """What an ingest did.

    Attributes:
        files: paths or URLs, in the order of reading.
        format: parquet, csv, jsonl or handbook.
        rows: rows in the files.
        seconds: how long it took, in seconds.
        sources: one report for each source that the files feed.
    """

    files: tuple[str, ...]
    format: str
    rows: int
    seconds: float
    sources: tuple[SourceReport, ...]

    @property
    def rows_per_s(self) -> float:
        """Rows of the files per second, all steps included."""
        return self.rows / self.seconds if self.seconds > 0 else 0.0

    @property
    def ignored_columns(self) -> tuple[str, ...]:
        """Columns of the files that no source has which they feed."""
        return tuple(dict.fromkeys(name for one in self.sources for name in one.ignored_columns))

    def failure(self) -> BadRecordError | None:
        """The error to end with where a source took none of the rows, as with a wrong file.

        Some rejected rows are no failure: they are kept aside and counted.
        """
        for source in self.sources:
            counts = Counter(source.rejected) + Counter(source.already_rejected)
            if source.rows and counts.total() == source.rows:
                told = ", ".join(f"{reason} {rows}" for reason, rows in counts.most_common())
                code = counts.most_common(1)[0][0]
                return BadRecordError(
                    Reason(code) if code in set(Reason) else Reason.RULE_BROKEN,
                    f"all rows were rejected ({told}): is this a file of {source.source}?",
                    hint=f"the rows and their reasons are in {source.quarantine_table_uri}",
                )
        return None
