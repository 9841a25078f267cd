"""The rows that a source's quarantine holds, and what has become of each since."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Collection, Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from enum import StrEnum
from typing import TYPE_CHECKING, Any, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from headrace_batch.backfill_rows import day_of
from headrace_batch.quarantine.row_names import row_id, rows_named
from headrace_schemas.event_times import PLAUSIBLE
from headrace_schemas.reasons import Reason
from headrace_schemas.tables import EVENT_DATE, dispositions_table, quarantine_table

if TYPE_CHECKING:
    from collections.abc import Iterable

    from headrace_batch.warehouse import Warehouse
    from headrace_features.definitions.sources import EventSource

DISPOSITION_SCHEMA = pa.schema(
    [
        ("row", pa.string()),
        ("action", pa.string()),
        ("event", pa.string()),
        ("told", pa.string()),
        ("at", pa.int64()),
    ]
)

_OF_TOPIC = "kafka://"


class RowState(StrEnum):
    """What has become of a row that was kept aside."""

    WAITING = "waiting"
    REPAIRED = "repaired"
    RELEASED = "released"
    ARRIVED = "arrived"

    @property
    def is_open(self) -> bool:
        """Whether it can still be released."""
        return self in {RowState.WAITING, RowState.REPAIRED}


@dataclass(frozen=True, slots=True)
class KeptRow:
    """A row that was not taken in.

    Attributes:
        id: what commands call it: the ingest, and the row's number in it.
        file: where it came from: a file, or a topic and its partition.
        row_number: its number there, or its offset.
        reasons: all codes of why, those of rules by their names.
        columns: the column that each is about, "" where that is none alone.
        raw: the row as it came.
        event: its columns: as they were repaired, else as far as they could be read; None where it
            can't be told what they are.
        state: `ARRIVED` is one whose key has come in otherwise since.
    """

    id: str
    file: str
    row_number: int
    reasons: tuple[str, ...]
    columns: tuple[str, ...]
    raw: str
    event: Mapping[str, Any] | None
    state: RowState

    @property
    def is_of_topic(self) -> bool:
        """Whether it is a record of a topic."""
        return self.file.startswith(_OF_TOPIC)


def kept_rows(
    warehouse: Warehouse,
    source: EventSource,
    *,
    names: Collection[str] = (),
    reasons: Collection[str] = (),
) -> list[KeptRow]:
    """The rows that a source's quarantine holds, in the order of their files.

    A row that was rejected for the same reasons each time its file came, changed elsewhere, is one.

    Args:
        warehouse: where the tables are.
        source: whose rows.
        names: only those that one of these may mean, see `rows_named`; none is all. A row that came
            again has a name of each time.
        reasons: only those of which one of these is a reason; none is all.

    Raises:
        ConfigurationError: a table is damaged.
    """
    table = quarantine_table(source.name)
    if not warehouse.exists(table):
        return []
    repaired, released = _dispositions(warehouse, source)
    there = {row_id(row): row for row in warehouse.read(table).to_pylist()}
    meant = {name for found in rows_named(there, names).values() for name in found}
    rows = []
    for same in _same_rows(there):
        # What has become of a row holds for it in every content of its file.
        done = next((name for name in same if name in released), None) or max(
            (name for name in same if name in repaired), key=repaired.__getitem__, default=None
        )
        state = (
            RowState.WAITING
            if done is None
            else RowState.RELEASED
            if done in released
            else RowState.REPAIRED
        )
        for name in [one for one in same if one in meant] if names else [done or same[0]]:
            row = there[name]
            if reasons and not set(reasons) & set(row["reasons"]):
                continue
            rows.append(
                KeptRow(
                    id=name,
                    file=row["file"],
                    row_number=row["row_number"],
                    reasons=tuple(row["reasons"]),
                    columns=tuple(row["columns"]),
                    raw=row["raw"],
                    event=_object(
                        repaired[done].event if done in repaired else row.get("event") or row["raw"]
                    ),
                    state=state,
                )
            )
    rows.sort(key=lambda row: (row.file, row.row_number, row.id))
    return _with_arrived(warehouse, source, rows)


def _same_rows(rows: Mapping[str, Mapping[str, Any]]) -> Iterable[Sequence[str]]:
    """The names of rows, together those of a row that came again in another content of its file.

    Rows that are alike in one content are several. So are records of a topic, and what was set
    aside: if it is there again, it was in the table meanwhile.
    """
    found: dict[Hashable, list[str]] = {}
    alike: Counter[Hashable] = Counter()
    for name, row in sorted(rows.items()):
        told: Hashable = name
        if not row["file"].startswith(_OF_TOPIC) and Reason.SET_ASIDE not in row["reasons"]:
            told = (row["file"], row["raw"], *row["reasons"])
        alike[row["ingest_id"], told] += 1
        found.setdefault((told, alike[row["ingest_id"], told]), []).append(name)
    return found.values()


def known_reasons(warehouse: Warehouse, source: EventSource) -> frozenset[str]:
    """The reasons that rows of a source can have: of every contract, its rules, and former rules.

    Raises:
        ConfigurationError: the table is damaged.
    """
    known = {*map(str, Reason), *(rule.name for rule in source.rules)}
    table = quarantine_table(source.name)
    if warehouse.exists(table):
        known |= set(pc.list_flatten(warehouse.read(table, ["reasons"])["reasons"]).to_pylist())
    return frozenset(known)


def released_rows(warehouse: Warehouse, source: EventSource) -> frozenset[str]:
    """The ids of the rows that were released."""
    return _dispositions(warehouse, source)[1]


def set_aside_waits(warehouse: Warehouse, source: EventSource) -> bool:
    """Whether any row of a file that was set aside is neither released nor there again.

    No more of them are read than it takes to find one.

    Raises:
        ConfigurationError: a table is damaged.
    """
    table = quarantine_table(source.name)
    if not warehouse.exists(table):
        return False
    released = released_rows(warehouse, source)
    # What came in a file was set aside as a row of the table, what came in a topic as its record.
    of_files = pc.field("file") == source.table
    columns = ["ingest_id", "row_number", "event"]
    with warehouse.explaining(table):
        for batch in warehouse.dataset(table).to_batches(columns=columns, filter=of_files):
            events = (
                _object(row["event"]) for row in batch.to_pylist() if row_id(row) not in released
            )
            asked = {(_key(event, source) or "", _day(event, source)) for event in events}
            if {key for key, _ in asked} - _keys_there(warehouse, source, asked):
                return True
    return False


class _Repair(NamedTuple):
    """What a row was changed to, and its place among all repairs: the last one of a row holds."""

    place: int
    event: str


def _dispositions(
    warehouse: Warehouse, source: EventSource
) -> tuple[dict[str, _Repair], frozenset[str]]:
    """By row its last repair, and the rows that were released."""
    table = dispositions_table(source.name)
    if not warehouse.exists(table):
        return {}, frozenset()
    rows = sorted(warehouse.read(table).to_pylist(), key=lambda row: int(row["at"]))
    repaired = {
        row["row"]: _Repair(place, row["event"])
        for place, row in enumerate(rows)
        if row["action"] == RowState.REPAIRED
    }
    released = frozenset(row["row"] for row in rows if row["action"] == RowState.RELEASED)
    return repaired, released


def _object(text: str) -> Mapping[str, Any] | None:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def _with_arrived(
    warehouse: Warehouse, source: EventSource, rows: Sequence[KeptRow]
) -> list[KeptRow]:
    """The rows, with those told whose keys the bronze table has."""
    asked = {
        place: (key, _day(row.event, source))
        for place, row in enumerate(rows)
        if row.state.is_open and (key := _key(row.event, source))
    }
    there = _keys_there(warehouse, source, asked.values())
    found = list(rows)
    for place, (key, _) in asked.items():
        if key in there:
            found[place] = replace(rows[place], state=RowState.ARRIVED)
    return found


def _keys_there(
    warehouse: Warehouse, source: EventSource, asked: Iterable[tuple[str, date | None]]
) -> set[str]:
    wanted = list(asked)
    if not wanted or not warehouse.exists(source.table):
        return set()
    days = {day for _, day in wanted}
    where = pc.field(source.dedup_key).isin([key for key, _ in wanted])
    if None not in days:
        where &= pc.field(EVENT_DATE).isin(list(days))
    found = warehouse.read(source.table, [source.dedup_key], where)
    return set(found.column(0).to_pylist())


def _key(event: Mapping[str, Any] | None, source: EventSource) -> str | None:
    key = None if event is None else event.get(source.dedup_key)
    return key if isinstance(key, str) and key else None


def _day(event: Mapping[str, Any] | None, source: EventSource) -> date | None:
    at = None if event is None else event.get(source.event_time)
    if not isinstance(at, int) or not PLAUSIBLE.earliest_ms <= at < PLAUSIBLE.latest_ms:
        return None
    return day_of(at)
