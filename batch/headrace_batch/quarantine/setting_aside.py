"""A day of a table is taken out of it into quarantine, as when its gate has stopped it."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec
import pyarrow as pa
import pyarrow.compute as pc
from deltalake import CommitProperties
from deltalake.exceptions import CommitFailedError

from headrace_batch.ingest.appending import (
    ATTEMPTS,
    Appender,
    IngestOf,
    set_aside_once_more,
    this_process,
)
from headrace_batch.ingest.contract import POSITION_SCHEMA, QUARANTINE_SCHEMA, contract_of
from headrace_batch.warehouse import Warehouse, dataset_of
from headrace_schemas.errors import RetryableError
from headrace_schemas.reasons import Reason
from headrace_schemas.tables import EVENT_DATE, quarantine_table

if TYPE_CHECKING:
    from datetime import date

    from deltalake import DeltaTable

    from headrace_features.definitions.sources import EventSource


class _Day(NamedTuple):
    """The rows of a day in one version of a table: their events, and where each came from.

    `files` are those that they are in: the same rows that come again later are in others.
    """

    events: pa.Table
    places: pa.Table | None
    files: Sequence[str]

    @property
    def name(self) -> str:
        """What identifies these rows, whichever run reads them."""
        return _name((sorted(self.files), self.events.to_pydict()))


def set_aside(warehouse: Warehouse, source: EventSource, day: date) -> int:
    """Move all rows of a day into the quarantine of their source; how many there were.

    They are kept there before they are taken out: killed in between, a day is in both, none of its
    rows can be released twice, and the same call goes on. What comes meanwhile is not lost.

    Raises:
        ConfigurationError: there is no table, or it can't be read.
        RetryableError: others kept committing, or the store can't be reached.
    """
    for _ in range(ATTEMPTS):
        table = warehouse.open(source.table)
        with warehouse.explaining(source.table, except_for=CommitFailedError):
            rows = _rows(table, source, day)
            if not rows.events.num_rows:
                return 0
            _keep(warehouse, source, rows)
            try:
                table.delete(
                    f"{EVENT_DATE} = '{day}'",
                    commit_properties=CommitProperties(
                        max_commit_retries=0,
                        custom_metadata={
                            "headrace.file": f"{quarantine_table(source.name)}: {day}",
                            "headrace.process": this_process(),
                        },
                        app_transactions=[set_aside_once_more(table)],
                    ),
                )
            except CommitFailedError:
                continue
            return int(rows.events.num_rows)
    raise RetryableError(
        f"{source.table} was committed to by others {ATTEMPTS} times in a row",
        hint="run it again when they are done: nothing is lost",
    )


def _rows(table: DeltaTable, source: EventSource, day: date) -> _Day:
    schema = contract_of(source).schema
    dataset = dataset_of(table)
    places = [name for name in POSITION_SCHEMA.names if name in dataset.schema.names]
    found = dataset.to_table([*schema.names, *places], filter=pc.field(EVENT_DATE) == day)
    found = found.sort_by(source.dedup_key)
    added = pa.table(table.get_add_actions(flatten=True))
    days = added[f"partition.{EVENT_DATE}"].cast(pa.date32())
    return _Day(
        found.select(schema.names),
        found.select(places) if len(places) == len(POSITION_SCHEMA) else None,
        added.filter(pc.equal(days, day))["path"].to_pylist(),
    )


def _keep(warehouse: Warehouse, source: EventSource, rows: _Day) -> None:
    ingest = IngestOf(rows.name, source.table)
    count = rows.events.num_rows
    kept = Appender(warehouse, quarantine_table(source.name), QUARANTINE_SCHEMA)
    kept.append(ingest, count, lambda _, done: _kept(rows, ingest).slice(done))


def _kept(rows: _Day, ingest: IngestOf) -> pa.Table:
    events = [msgspec.json.encode(event).decode() for event in rows.events.to_pylist()]
    numbers = range(1, len(events) + 1)
    places = [(ingest.file, number) for number in numbers]
    if rows.places is not None:
        places = [
            (f"kafka://{topic}/{partition}", offset) if topic is not None else place
            for place, topic, partition, offset in zip(
                places, *(column.to_pylist() for column in rows.places.columns), strict=True
            )
        ]
    named = {file: _name((ingest.ingest_id, file)) for file, _ in places}
    return pa.table(
        {
            # Two partitions have the same offsets: each is an ingest of its own.
            "ingest_id": [named[file] for file, _ in places],
            "file": [file for file, _ in places],
            "row_number": pa.array([number for _, number in places], pa.int64()),
            "reasons": [[Reason.SET_ASIDE.value]] * len(events),
            "columns": [[""]] * len(events),
            "raw": events,
            "event": events,
        },
        schema=QUARANTINE_SCHEMA,
    )


def _name(told: Any) -> str:
    return hashlib.sha256(msgspec.json.encode(told)).hexdigest()[:32]
