"""Rows of a quarantine are repaired, and come into the table of their source as late events."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
import pyarrow as pa

from headrace_batch.ingest.appending import Addition, Appender, IngestOf, this_process
from headrace_batch.ingest.checks import CheckedRows, with_date
from headrace_batch.ingest.contract import contract_of
from headrace_batch.ingest.source_tables import SourceTables
from headrace_batch.quarantine.kept_rows import DISPOSITION_SCHEMA, RowState
from headrace_schemas.tables import dispositions_table

if TYPE_CHECKING:
    from headrace_batch.ingest.report import SourceReport
    from headrace_batch.quarantine.judging import Judged, RowJudge
    from headrace_batch.warehouse import Warehouse
    from headrace_features.definitions.sources import EventSource

#: Before the name of a source, in the place of a file: where rows come from that were released.
RELEASED = "quarantine:"


def take_in(
    warehouse: Warehouse, source: EventSource, judge: RowJudge, rows: Sequence[Judged]
) -> SourceReport:
    """Append the events of rows to the table of their source, each once.

    An event whose key the table has by now is a duplicate: killed anywhere and repeated, none
    comes in twice.

    Raises:
        ConfigurationError: a table can't be read.
        RetryableError: others kept committing, or the store can't be reached.
    """
    tables = SourceTables(contract_of(source), warehouse)
    # Each time another ingest: what came in once may have been taken out again since.
    tables.begin(IngestOf(uuid.uuid4().hex, f"{RELEASED}{source.name}"))
    good = with_date(judge.events(rows), source.event_time)
    tables.add(CheckedRows(good, np.arange(1, len(rows) + 1, dtype=np.int64), ()))
    tables.commit(len(rows))
    return tables.report()


@dataclass(frozen=True, slots=True)
class Disposition:
    """What has become of a row.

    Attributes:
        row: its id.
        event: what it was repaired to, or released as.
        told: which rules it was released in spite of.
    """

    row: str
    state: RowState
    event: Mapping[str, Any]
    told: str = ""


def note(
    warehouse: Warehouse, source: EventSource, done: Iterable[Disposition], now_ms: int
) -> None:
    """Keep what has become of rows.

    Raises:
        RetryableError: others kept committing, or the store can't be reached.
    """
    rows = pa.Table.from_pylist(
        [
            {
                "row": one.row,
                "action": one.state.value,
                "event": msgspec.json.encode(one.event).decode(),
                "told": one.told,
                "at": now_ms,
            }
            for one in done
        ],
        schema=DISPOSITION_SCHEMA,
    )
    if rows.num_rows:
        appender = Appender(warehouse, dispositions_table(source.name), DISPOSITION_SCHEMA)
        appender.append_next(lambda _: Addition(rows, {"headrace.process": this_process()}, ()))
