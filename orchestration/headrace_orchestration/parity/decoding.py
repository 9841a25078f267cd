"""From the bytes of topics to tables."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from operator import attrgetter
from typing import TYPE_CHECKING, Any

import msgspec
import pyarrow as pa
from msgspec import UNSET, UnsetType

from headrace_features.definitions.views import SEPARATOR
from headrace_features.kernel.prepare import ARROW_TYPES
from headrace_orchestration.parity.recording import LEDGER_SCHEMA
from headrace_schemas.columns import ColumnType

if TYPE_CHECKING:
    from headrace_features.definitions.decisions import Decisions
    from headrace_features.definitions.sources import EventSource

_PYTHON = {
    ColumnType.INT64: int | None,
    # NaN and the infinities are no numbers in JSON: they are written as words.
    ColumnType.FLOAT64: float | str | None,
    ColumnType.STRING: str | None,
    ColumnType.BOOL: bool | None,
}


class _Named(msgspec.Struct):
    decision: str
    epoch: int


class _Place(msgspec.Struct):
    """What is known of a decision that other definitions have made."""

    id: str
    epoch: int
    partition: int
    offset: int


class _Answer(msgspec.Struct):
    sequence: int
    status: str


class DecisionDecoder:
    """Reads the records of `decisions` that belong to one declaration.

    A record may lack features, since some may have been declared while the job went on. Of one that
    was made by other definitions only its place is read, and `unread` says why.
    """

    def __init__(self, decisions: Decisions) -> None:
        columns: list[tuple[str, pa.DataType, Callable[[Any], Any]]] = [
            ("id", pa.string(), attrgetter("id")),
            ("epoch", pa.int64(), attrgetter("epoch")),
            ("partition", pa.int64(), attrgetter("partition")),
            ("offset", pa.int64(), attrgetter("offset")),
            ("flagged", pa.bool_(), attrgetter("flagged")),
            ("rules", pa.list_(pa.string()), attrgetter("rules")),
        ]
        columns.extend(
            (f"event.{column.name}", ARROW_TYPES[column.type], attrgetter(f"event.{column.name}"))
            for column in decisions.source.columns
        )
        features: list[tuple[str, Any, Any]] = []
        for view in decisions.views:
            for feature in view.features:
                name = f"{view.name}{SEPARATOR}{feature.name}"
                features.append((name, _PYTHON[feature.type] | UnsetType, UNSET))
                columns.append((name, ARROW_TYPES[feature.type], attrgetter(f"features.{name}")))
            for what, kind in (("sequence", pa.int64()), ("status", pa.string())):
                getter = attrgetter(f"views.{view.name}.{what}")
                columns.append((f"{what}.{view.name}", kind, getter))
        self._columns = columns
        self.schema = pa.schema(
            [
                *((name, kind) for name, kind, _ in columns),
                ("lacking", pa.list_(pa.string())),
                ("unread", pa.string()),
            ]
        )
        fields: list[tuple[str, Any]] = [
            *(("id", str), ("epoch", int), ("partition", int), ("offset", int)),
            *(("flagged", bool), ("rules", list[str]), ("event", decisions.source.schema)),
            ("features", msgspec.defstruct("Features", features)),
            (
                "views",
                msgspec.defstruct("Views", [(view.name, _Answer) for view in decisions.views]),
            ),
        ]
        self._decoder = msgspec.json.Decoder(msgspec.defstruct("Decision", fields))

    def table(self, values: Iterable[bytes]) -> pa.Table:
        """Records as a table, see `DecisionLog`."""
        rows: list[Any] = []
        unread: list[dict[str, Any]] = []
        for value in values:
            try:
                rows.append(self._decoder.decode(value))
            except msgspec.DecodeError as error:
                place = msgspec.structs.asdict(_placing.decode(value))
                unread.append({**place, "unread": str(error)})
        lacking: list[list[str]] = [[] for _ in rows]
        arrays = []
        for name, kind, get in self._columns:
            column: list[Any] = list(map(get, rows))
            if UNSET in column:
                for row, value in enumerate(column):
                    if value is UNSET:
                        column[row] = None
                        lacking[row].append(name)
            arrays.append(_array(column, kind))
        further = [pa.array(lacking, pa.list_(pa.string())), pa.nulls(len(rows), pa.string())]
        read = pa.table([*arrays, *further], schema=self.schema)
        return pa.concat_tables([read, pa.Table.from_pylist(unread, self.schema)])


_naming = msgspec.json.Decoder(_Named)
_placing = msgspec.json.Decoder(_Place)


def decision_and_epoch(value: bytes) -> tuple[str, int]:
    """Which declaration a record of `decisions` belongs to, and which deployment wrote it."""
    named = _naming.decode(value)
    return named.decision, named.epoch


def ledger_table(values: Iterable[bytes]) -> pa.Table:
    """Records of `late-events` as a table."""
    known = {*LEDGER_SCHEMA.names, "event_time", "available_at"}
    rows = []
    for value in values:
        entry = msgspec.json.decode(value)
        # The key of the entity is written under the name of its column.
        entry["join_key"] = next((name for name in entry if name not in known), None)
        rows.append({name: entry.get(name) for name in LEDGER_SCHEMA.names})
    return pa.Table.from_pylist(rows, LEDGER_SCHEMA)


def event_table(source: EventSource, events: Sequence[Any]) -> pa.Table:
    """Decoded events as a table with the columns of their source."""
    return pa.table(
        {
            column.name: pa.array(
                list(map(attrgetter(column.name), events)), ARROW_TYPES[column.type]
            )
            for column in source.columns
        }
    )


def _array(values: list[Any], kind: pa.DataType) -> pa.Array:
    if kind == pa.float64():
        try:
            return pa.array(values, kind)
        except (pa.ArrowTypeError, pa.ArrowInvalid):
            values = [None if value is None else float(value) for value in values]
    return pa.array(values, kind)
