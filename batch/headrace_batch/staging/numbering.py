"""The rows of a spine as engines get them: numbered, labelled, without a leak, in plain types."""

from __future__ import annotations

from typing import IO, TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pyarrow.types as pt

from headrace_batch.history_spine import EVENT_TIME, checked_times, require_times
from headrace_batch.staging.columns import ROW
from headrace_batch.staging.spine import Unlabelled
from headrace_schemas.errors import ConfigurationError, GateError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from headrace_batch.staging.spine import Label, Spine

Array = np.ndarray[Any, Any]


def numbered(spine: Spine, label: Label, out: IO[bytes]) -> int:
    """Write a spine with the number of each row, as Parquet, once it has no leak.

    Columns have types that either engine reads: texts and bytes as such, not as codes of them, and
    times to the microsecond.

    Returns:
        How many rows were left out, as they have no label; the others keep their numbers.

    Raises:
        GateError: features of a row are of a later time than its label, or it has none.
        BadRecordError: a row that is not left out has no time, or a time is not plausible.
        ConfigurationError: a column is missing or of a wrong type, or all rows are left out.
    """
    _require_columns(spine.rows.schema, label)
    schema = pa.schema([pa.field(one.name, _plain_type(one.type)) for one in spine.rows.schema])
    unlabelled, leaks = _Found(), _Found()
    first, why = 0, ""
    with pq.ParquetWriter(
        out, schema.append(pa.field(ROW, pa.int64())), compression="zstd"
    ) as file:
        for piece in spine.rows.read(schema.names):
            numbers = np.arange(first, first + len(piece))
            first += len(piece)
            table = _plain(piece, schema).append_column(ROW, pa.array(numbers))
            given, table = table, label.known(table)
            if label.unlabelled is not Unlabelled.KEEP:
                lacking = _lacking(table, label.columns)
                if not unlabelled.count and lacking.any():
                    why = _why(given.slice(int(lacking.argmax()), 1), label)
                unlabelled.add(numbers[lacking])
                table = table.filter(pa.array(~lacking))
            # Before they are compared: of what is no time nobody can say that it is too late.
            times_ms = checked_times(table[EVENT_TIME], table[ROW].to_numpy())
            if label.known_at is not None:
                late = times_ms.to_numpy() > _known_ms(table, label.known_at)
                leaks.add(table[ROW].to_numpy()[late])
            file.write_table(table)
    names = ", ".join(label.columns)
    if unlabelled.count and label.unlabelled is Unlabelled.REFUSE:
        raise GateError(
            f"{unlabelled.count:,} of {first:,} rows of the spine have no label, such as row"
            f" {unlabelled.example}: {why}",
            hint="take them out, or say what becomes of them: --unlabelled leave-out, or keep",
        )
    if leaks.count:
        raise GateError(
            f"{leaks.count:,} of {first:,} rows of the spine have features of a later time than"
            f" their label, such as row {leaks.example}: {EVENT_TIME} is after {label.known_at}",
            hint=f"ask for features as of a time when {names} was not known yet",
        )
    if first and unlabelled.count == first:
        raise ConfigurationError(
            f"none of {first:,} rows of the spine has a label, such as row"
            f" {unlabelled.example}: {why}",
            hint="name a spine of which some have one",
        )
    return unlabelled.count


class _Found:
    """Rows that aren't as they should be: how many, and the first one."""

    def __init__(self) -> None:
        self.count = 0
        self.example: int | None = None

    def add(self, numbers: Array) -> None:
        if self.example is None and len(numbers):
            self.example = int(numbers[0])
        self.count += len(numbers)


def _require_columns(schema: pa.Schema, label: Label) -> None:
    if EVENT_TIME not in schema.names:
        raise ConfigurationError(
            f"the spine has no column {EVENT_TIME!r}, which every spine needs; it has"
            f" {', '.join(schema.names) or 'none'}",
            hint="features are as of the time of a row: rename the column that has it",
        )
    told = dict.fromkeys(label.columns, "--label names what is to be foretold")
    if label.known_at is not None:
        told[label.known_at] = "--label-time names the column since when the label is known"
    for name, hint in told.items():
        if name not in schema.names:
            raise ConfigurationError.unknown("column of the spine", name, schema.names, hint=hint)
    for name in (EVENT_TIME, *([label.known_at] if label.known_at else [])):
        require_times(name, schema.field(name).type)
    if ROW in schema.names:
        raise ConfigurationError(
            f"the spine has a column {ROW!r}, which is what shards call the number of a row",
            hint="rename it",
        )


def _plain_type(kind: pa.DataType) -> pa.DataType:
    """What stands for a type that Spark doesn't have: texts by dictionary, ns, half floats."""
    if pt.is_dictionary(kind):
        return _plain_type(kind.value_type)
    if pt.is_float16(kind):
        return pa.float32()
    if pt.is_timestamp(kind) and kind.unit == "ns":
        return pa.timestamp("us", kind.tz)
    return kind


def _plain(table: pa.Table, schema: pa.Schema) -> pa.Table:
    """A table in these types: what is below a microsecond is cut off."""
    columns = [
        column if column.type == field.type else column.cast(field.type, safe=False)
        for column, field in zip(table.columns, schema, strict=True)
    ]
    return pa.table(columns, schema=schema)


def _lacking(table: pa.Table, labels: Sequence[str]) -> Array:
    """Which rows lack a label."""
    found = np.zeros(len(table), np.bool_)
    for name in labels:
        column = table[name]
        known = column.is_valid()
        if pt.is_floating(column.type):
            known = pc.fill_null(pc.is_finite(column.cast(pa.float64())), fill_value=False)
        found |= ~known.to_numpy()
    return found


def _why(row: pa.Table, label: Label) -> str:
    """Why a row of a spine has no label."""
    names = ", ".join(label.columns)
    if _lacking(row, label.columns).any():
        return f"{names} is null or not finite"
    return f"{label.known_at} is null, so that nothing says since when {names} is known"


def _known_ms(table: pa.Table, name: str) -> Array:
    """Since when the label of each row is known, as ms UTC; a null is later than any."""
    told = table[name].is_valid()
    there, rows = told.to_numpy(), table[ROW].to_numpy()
    found = np.full(len(table), np.iinfo(np.int64).max)
    found[there] = checked_times(table[name].filter(told), rows[there], name).to_numpy()
    return found
