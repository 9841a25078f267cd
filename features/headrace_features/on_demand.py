"""Values of on-demand features: of one row as it is asked for, and of whole columns of a history.

Both give the same bits. What a request brings is brought to its declared types in both, too.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from numbers import Integral, Real

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as pt

from headrace_features.definitions.aggregates import Scalar
from headrace_features.definitions.on_demand import OnDemandFeature
from headrace_features.expressions import arrow, rows
from headrace_features.kernel.prepare import ARROW_TYPES
from headrace_schemas.columns import INT64_MAX, INT64_MIN, ColumnType
from headrace_schemas.errors import BadRecordError
from headrace_schemas.reasons import Reason

Value = Scalar | None

#: Rows that are evaluated one by one, at a time.
_ROWS_AT_ONCE = 4096


def value_of(feature: OnDemandFeature, row: Mapping[str, Value]) -> Value:
    """The value for one row of request columns and features by ``view__feature``.

    Arithmetic beyond the numbers there are gives null: it says nothing about the one who asks, and
    must not take all other values of the request with it.
    """
    try:
        value = rows.evaluate(feature.expression.node, row)
    except BadRecordError:
        return None
    return _finite(value)


def column_of(
    feature: OnDemandFeature, columns: Mapping[str, pa.ChunkedArray], count: int
) -> pa.ChunkedArray:
    """The values for `count` rows, from whole columns."""
    expression, kind = feature.expression, ARROW_TYPES[feature.type]
    read = {name: columns[name] for name in expression.columns}
    try:
        values = arrow.evaluate(expression.node, read, count, kind)
    except BadRecordError:
        chunks = (
            pa.array([value_of(feature, row) for row in batch.to_pylist()], kind)
            for batch in pa.table(read).to_batches(max_chunksize=_ROWS_AT_ONCE)
        )
        return pa.chunked_array(chunks, kind)
    return _finite_only(values)


def request_value(name: str, kind: ColumnType, value: object) -> Value:
    """What a request brings for a column, in the column's type.

    A double that isn't finite is null, as a data frame writes null.

    Raises:
        BadRecordError: the value doesn't fit.
    """
    found = None if value is None else _CONVERSIONS[kind](value)
    if found is None and value is not None and not _not_finite(value):
        raise BadRecordError(
            Reason.WRONG_TYPE,
            f"{name}={value!r} of the request is {type(value).__name__}, expected {kind}",
            field=name,
        )
    return found


def request_column(name: str, kind: ColumnType, values: pa.ChunkedArray) -> pa.ChunkedArray:
    """What the rows of a spine bring for a column, in the column's type; as `request_value`.

    Args:
        name: of the column.
        kind: its declared type.
        values: of a type that `may_be_request` says yes to.

    Raises:
        BadRecordError: one of the values doesn't fit.
    """
    if pt.is_dictionary(values.type):
        values = values.cast(values.type.value_type)
    values = _finite_only(values)
    try:
        # "safe" would refuse integers above 2**53, which round to the nearest double here.
        return values.cast(ARROW_TYPES[kind], safe=kind is not ColumnType.FLOAT64)
    except pa.ArrowInvalid as error:
        raise BadRecordError(
            Reason.WRONG_TYPE,
            f"column {name!r} of the spine is {values.type} and can't be made {kind}: {error}",
            field=name,
        ) from error


def may_be_request(kind: ColumnType, found: pa.DataType) -> bool:
    """Whether a column of a spine can stand for one of a request."""
    if pt.is_dictionary(found):
        found = found.value_type
    if pt.is_null(found):
        return True  # a column without a single value, such as pandas gives an empty frame
    match kind:
        case ColumnType.INT64 | ColumnType.FLOAT64:
            return bool(pt.is_integer(found) or pt.is_float32(found) or pt.is_float64(found))
        case ColumnType.STRING:
            return bool(pt.is_string(found) or pt.is_large_string(found))
        case ColumnType.BOOL:
            return bool(pt.is_boolean(found))


def _finite_only(values: pa.ChunkedArray) -> pa.ChunkedArray:
    if not pt.is_floating(values.type):
        return values
    return pc.if_else(pc.is_finite(values), values, pa.scalar(None, values.type))


def _finite(value: Value) -> Value:
    return None if _not_finite(value) else value


def _not_finite(value: object) -> bool:
    if not isinstance(value, Real) or isinstance(value, Integral):
        return False
    return not math.isfinite(value)


def _integer(value: object) -> Value:
    # A whole double may stand for an integer: columns with nulls come as doubles.
    whole = isinstance(value, float) and value.is_integer()
    if not whole and (not isinstance(value, Integral) or isinstance(value, bool)):
        return None
    number = int(value)  # type: ignore[call-overload] # one of the two
    return number if INT64_MIN <= number <= INT64_MAX else None


def _double(value: object) -> Value:
    if not isinstance(value, Real) or isinstance(value, bool):
        return None
    try:
        return _finite(float(value))
    except OverflowError:
        return None


def _text(value: object) -> Value:
    return value if isinstance(value, str) else None


def _truth(value: object) -> Value:
    # numpy's truth values are no bool of Python.
    return bool(value) if type(value).__name__ in {"bool", "bool_"} else None


_CONVERSIONS: Mapping[ColumnType, Callable[[object], Value]] = {
    ColumnType.INT64: _integer,
    ColumnType.FLOAT64: _double,
    ColumnType.STRING: _text,
    ColumnType.BOOL: _truth,
}
