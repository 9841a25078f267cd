"""Rejected rows are kept, each once.

Whether a row is one depends on more than its content: on when it has arrived, on the clock, on what
other tables have. So a run that died, or one at the same time, may have dealt with rows up to some
number and have taken for events what is rejected now.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc
from deltalake import Transaction

from headrace_batch.ingest.appending import Addition
from headrace_batch.warehouse import dataset_of

if TYPE_CHECKING:
    from deltalake import DeltaTable

    from headrace_batch.ingest.appending import Appender, IngestOf

_PLACE = ["ingest_id", "row_number"]


def keep_rejected(to: Appender, ingest: IngestOf, rows: pa.Table, upto: int) -> None:
    """Commit rejected rows of one file, but those that their table has.

    Args:
        to: the table of rejected rows.
        ingest: of the file.
        rows: as the table stores them.
        upto: the number of the last row that is dealt with then.
    """

    def made(table: DeltaTable) -> Addition | None:
        done = ingest.progress(table)
        kept = unkept(table, rows, {ingest.ingest_id: done})
        recorded = [Transaction(ingest.application, max(upto, done))]
        return Addition(kept, ingest.told(), recorded) if kept.num_rows else None

    to.append_next(made)


def unkept(table: DeltaTable, rows: pa.Table, done: Mapping[str, int]) -> pa.Table:
    """Of rejected rows those that their table doesn't have.

    Args:
        table: that of rejected rows.
        rows: as it stores them.
        done: by ingest the number of the last row that somebody has dealt with.
    """
    last = pa.array([done[ingest] for ingest in rows["ingest_id"].to_pylist()], pa.int64())
    old = rows.filter(pc.less_equal(rows["row_number"], last))
    if not old.num_rows:
        return rows
    ours = pc.field("ingest_id").isin(list(done))
    ours &= pc.field("row_number").isin(old["row_number"].combine_chunks())
    there = set(_places(dataset_of(table).to_table(_PLACE, filter=ours)))
    return rows.filter(pa.array([place not in there for place in _places(rows)], pa.bool_()))


def _places(rows: pa.Table) -> list[tuple[str, int]]:
    return list(zip(*(rows[name].to_pylist() for name in _PLACE), strict=True))
