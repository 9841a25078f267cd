"""Counts what became of rows, file by file, and sums it up for a report."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import pyarrow.compute as pc

from headrace_batch.ingest.appending import times_set_aside
from headrace_batch.ingest.contract import Contract
from headrace_batch.ingest.report import SourceReport
from headrace_batch.quarantine.kept_rows import released_rows, set_aside_waits
from headrace_batch.quarantine.row_names import row_id
from headrace_batch.warehouse import Warehouse


@dataclass(frozen=True, slots=True)
class Counts:
    """What became of the rows of a file, or of a part of it; see `SourceReport`."""

    rows: int = 0
    ingested: int = 0
    duplicates: int = 0
    rejected: Mapping[str, int] = field(default_factory=dict)
    already_ingested: int = 0

    def __add__(self, other: Counts) -> Counts:
        return Counts(
            self.rows + other.rows,
            self.ingested + other.ingested,
            self.duplicates + other.duplicates,
            dict(Counter(self.rejected) + Counter(other.rejected)),
            self.already_ingested + other.already_ingested,
        )


def source_report(
    contract: Contract,
    warehouse: Warehouse,
    ingest_ids: Sequence[str],
    counts: Iterable[Counts],
    ignored: Sequence[str] = (),
) -> SourceReport:
    """The report on one source, whose files are known by the ids of their ingests.

    `ignored` are columns of the files that nobody has read.
    """
    total = sum(counts, Counts())
    before = _rejected(contract, warehouse, ingest_ids) if total.already_ingested else Counter()
    return SourceReport(
        source=contract.source.name,
        table=contract.source.table,
        table_uri=warehouse.uri(contract.source.table),
        quarantine_table=contract.quarantine_table,
        quarantine_table_uri=warehouse.uri(contract.quarantine_table),
        rows=total.rows,
        ingested=total.ingested,
        duplicates=total.duplicates,
        rejected=total.rejected,
        already_ingested=total.already_ingested,
        already_rejected=dict(before - Counter(total.rejected)),
        ignored_columns=tuple(ignored),
        set_aside_waits=(
            total.already_ingested > 0
            and not total.ingested
            # Where no day was ever set aside the quarantine needs no look.
            and times_set_aside(warehouse.find(contract.source.table)) > 0
            and set_aside_waits(warehouse, contract.source)
        ),
    )


def _rejected(contract: Contract, warehouse: Warehouse, ingest_ids: Sequence[str]) -> Counter[str]:
    """How many rows of some ingests are kept as rejected, by their first reason.

    Those that were released since are none any more.
    """
    if not warehouse.exists(contract.quarantine_table):
        return Counter()
    ours = pc.field("ingest_id").isin(ingest_ids)
    columns = ["ingest_id", "row_number", "reasons"]
    rows = warehouse.read(contract.quarantine_table, columns, ours).to_pylist()
    released = released_rows(warehouse, contract.source)
    return Counter(row["reasons"][0] for row in rows if row_id(row) not in released)
