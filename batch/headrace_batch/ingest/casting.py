"""Columns as a file types them into the types of a contract, without loss.

| contract | taken from                                                                    |
|----------|-------------------------------------------------------------------------------|
| int64    | integers; floats and decimals without a fraction; text                        |
| a time   | the same as milliseconds; timestamps of any unit, UTC without a zone; text    |
| float64  | integers, floats, decimals, text                                              |
| string   | text, integers                                                                |
| bool     | booleans; the integers 0 and 1; text                                          |

A column of any other type is refused as a whole; a value that can't be taken is a problem of
its row. Of timestamps, what is finer than a millisecond is cut off, towards the past.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as pt

from headrace_batch.ingest import text_values
from headrace_batch.ingest.text_values import Bools, Parsed
from headrace_schemas.columns import INT64_MAX, INT64_MIN, Column, ColumnRole, ColumnType
from headrace_schemas.reasons import Reason


@dataclass(frozen=True, slots=True)
class Cast:
    """Values of the contract's type, null where `refused` has a reason against the row."""

    values: pa.Array
    refused: tuple[tuple[Reason, Bools], ...] = ()


def is_castable(kind: pa.DataType, column: Column) -> bool:
    """Whether values of an Arrow type can be taken for a column at all."""
    kind = kind.value_type if pt.is_dictionary(kind) else kind
    if pt.is_null(kind) or _is_text(kind):
        return True
    match column.type:
        case ColumnType.INT64:
            is_time = column.role is ColumnRole.TIME_MS
            return _is_number(kind) or (is_time and pt.is_timestamp(kind))
        case ColumnType.FLOAT64:
            return _is_number(kind)
        case ColumnType.STRING:
            return bool(pt.is_integer(kind))
        case ColumnType.BOOL:
            return bool(pt.is_boolean(kind) or pt.is_integer(kind))


def cast(values: pa.Array, column: Column) -> Cast:
    """The values of a column of a castable type as the contract's type."""
    if pt.is_dictionary(values.type):
        values = values.dictionary_decode()
    if pt.is_null(values.type):
        return Cast(pa.nulls(len(values), _TARGETS[column.type]))
    if _is_text(values.type):
        return _of_text(values, column)
    match column.type:
        case ColumnType.INT64:
            return _integers(values)
        case ColumnType.FLOAT64:
            # As for events in JSON, an integer above 2^53 becomes the nearest double.
            return Cast(values.cast(pa.float64(), safe=False))
        case ColumnType.STRING:
            return Cast(values.cast(pa.string()))
        case ColumnType.BOOL:
            return _bools(values)


_TARGETS = {
    ColumnType.INT64: pa.int64(),
    ColumnType.FLOAT64: pa.float64(),
    ColumnType.STRING: pa.string(),
    ColumnType.BOOL: pa.bool_(),
}
_OF_TEXT = {
    ColumnType.INT64: text_values.integers,
    ColumnType.FLOAT64: text_values.floats,
    ColumnType.BOOL: text_values.bools,
}


def _is_text(kind: pa.DataType) -> bool:
    return bool(
        pt.is_string(kind)
        or pt.is_large_string(kind)
        or pt.is_binary(kind)
        or pt.is_large_binary(kind)
    )


def _is_number(kind: pa.DataType) -> bool:
    return bool(pt.is_integer(kind) or pt.is_floating(kind) or pt.is_decimal(kind))


def _of_text(values: pa.Array, column: Column) -> Cast:
    text, broken = _utf8(values)
    if column.type is ColumnType.STRING:
        return Cast(text, ((Reason.BAD_FORMAT, broken),) if broken.any() else ())
    is_time = column.role is ColumnRole.TIME_MS
    read = text_values.times_ms if is_time else _OF_TEXT[column.type]
    parsed: Parsed = read(text)
    return Cast(
        parsed.values,
        _refused(
            (Reason.WRONG_TYPE, parsed.wrong | broken),
            (Reason.INTEGER_OVERFLOW, parsed.overflows),
        ),
    )


def _utf8(values: pa.Array) -> tuple[pa.Array, Bools]:
    """Text that is sure to be UTF-8, null where it is not, and where that is."""
    # A Parquet file may call bytes a string that are none: so look at the bytes in any case.
    raw = values.cast(pa.binary())
    try:
        return raw.cast(pa.string()), np.zeros(len(raw), np.bool_)
    except pa.ArrowInvalid:
        decoded = [_decoded(value) for value in raw.to_pylist()]
        text = pa.array(decoded, pa.string())
        broken = pc.and_(pc.is_null(text), pc.is_valid(raw))
        return text, np.asarray(broken.to_numpy(zero_copy_only=False), np.bool_)


def _decoded(value: bytes | None) -> str | None:
    try:
        return None if value is None else value.decode("utf-8")
    except UnicodeDecodeError:
        return None


def _integers(values: pa.Array) -> Cast:
    if pt.is_timestamp(values.type):
        return _timestamps(values)
    if pt.is_floating(values.type):
        return _whole_floats(values)
    if pt.is_decimal(values.type):
        return _whole_decimals(values)
    if pt.is_uint64(values.type):
        too_large = _flags(pc.greater(values, pa.scalar(INT64_MAX, pa.uint64())))
        kept = pc.if_else(pa.array(too_large), pa.scalar(None, pa.uint64()), values)
        return Cast(kept.cast(pa.int64()), _refused((Reason.INTEGER_OVERFLOW, too_large)))
    return Cast(values.cast(pa.int64()))


def _timestamps(values: pa.Array) -> Cast:
    counts = values.cast(pa.int64()).fill_null(0).to_numpy()
    null = _flags(pc.is_null(values))
    if values.type.unit == "s":
        limit = INT64_MAX // 1000
        overflows = (counts > limit) | (counts < -limit)
        times = np.where(overflows, 0, counts) * 1000
        return Cast(
            pa.array(times, mask=null | overflows),
            _refused((Reason.INTEGER_OVERFLOW, overflows)),
        )
    per_ms = {"ms": 1, "us": 1_000, "ns": 1_000_000}[values.type.unit]
    return Cast(pa.array(np.floor_divide(counts, per_ms), mask=null))


def _whole_floats(values: pa.Array) -> Cast:
    floats = values.cast(pa.float64()).fill_null(0.0).to_numpy()
    whole = np.isfinite(floats) & (np.trunc(floats) == floats)
    # 2^63 itself is a double, INT64_MAX is none.
    fits = whole & (floats >= float(INT64_MIN)) & (floats < -float(INT64_MIN))
    null = _flags(pc.is_null(values))
    integers = np.where(fits, floats, 0.0).astype(np.int64)
    return Cast(
        pa.array(integers, mask=null | ~fits),
        _refused((Reason.WRONG_TYPE, ~whole), (Reason.INTEGER_OVERFLOW, whole & ~fits)),
    )


def _whole_decimals(values: pa.Array) -> Cast:
    try:
        return Cast(values.cast(pa.int64()))
    except pa.ArrowInvalid:
        rows: list[Decimal | None] = values.to_pylist()
        wrong = np.array([row is not None and row != row.to_integral_value() for row in rows])
        overflows = np.array(
            [row is not None and not INT64_MIN <= row <= INT64_MAX for row in rows]
        )
        kept = [
            None if row is None or bad else int(row)
            for row, bad in zip(rows, wrong | overflows, strict=True)
        ]
        return Cast(
            pa.array(kept, pa.int64()),
            _refused((Reason.WRONG_TYPE, wrong), (Reason.INTEGER_OVERFLOW, overflows & ~wrong)),
        )


def _bools(values: pa.Array) -> Cast:
    if pt.is_boolean(values.type):
        return Cast(values)
    neither = ~_flags(pc.is_in(values, value_set=pa.array([0, 1, None], values.type)))
    kept = pc.if_else(pa.array(neither), pa.scalar(None, values.type), values)
    return Cast(kept.cast(pa.bool_()), _refused((Reason.WRONG_TYPE, neither)))


def _flags(values: pa.Array) -> Bools:
    return np.asarray(values.fill_null(fill_value=False).to_numpy(zero_copy_only=False), np.bool_)


def _refused(*found: tuple[Reason, Bools]) -> tuple[tuple[Reason, Bools], ...]:
    return tuple((reason, rows) for reason, rows in found if rows.any())
