from __future__ import annotations

from collections.abc import Mapping

from headrace_batch.ingest.report import IngestReport, SourceReport
from headrace_schemas.reasons import Reason


def report(
    rows: int, rejected: Mapping[str, int], earlier: Mapping[str, int] | None = None
) -> IngestReport:
    source = SourceReport(
        source="transactions",
        table="bronze.transactions",
        table_uri="/w/bronze/transactions",
        quarantine_table="quarantine.transactions",
        quarantine_table_uri="/w/quarantine/transactions",
        rows=rows,
        ingested=0,
        duplicates=0,
        rejected=rejected,
        already_ingested=0,
        already_rejected=earlier or {},
    )
    return IngestReport(("/f.csv",), "csv", rows, 2.0, (source,))


def test_some_rejected_rows_are_no_failure() -> None:
    assert report(3, {Reason.NULL_KEY: 2}).failure() is None


def test_no_rows_are_no_failure() -> None:
    assert report(0, {}).failure() is None


def test_a_file_of_which_every_row_is_rejected_is_a_failure() -> None:
    failure = report(3, {Reason.NULL_KEY: 1, Reason.WRONG_TYPE: 2}).failure()
    assert str(failure) == (
        "all rows were rejected (wrong_type 2, null_key 1): is this a file of transactions?"
        " (the rows and their reasons are in /w/quarantine/transactions)"
    )


def test_it_is_the_same_failure_when_the_file_comes_again() -> None:
    first = report(3, {Reason.NULL_KEY: 3}).failure()
    again = report(3, {}, {Reason.NULL_KEY: 3}).failure()
    assert str(first) == str(again)


def test_the_rate_counts_all_rows_of_the_files() -> None:
    assert report(3, {}).rows_per_s == 1.5
