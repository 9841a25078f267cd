"""Row expressions over Arrow columns, a whole batch at a time."""

from __future__ import annotations

from collections.abc import Mapping
from functools import reduce

import pyarrow as pa
import pyarrow.compute as pc

from headrace_features.expressions import nodes
from headrace_features.expressions.rows import evaluate as evaluate_row

_COMPARE = {
    "=": pc.equal,
    "<>": pc.not_equal,
    "<": pc.less,
    "<=": pc.less_equal,
    ">": pc.greater,
    ">=": pc.greater_equal,
}
_ARITHMETIC = {
    "+": (pc.add_checked, pc.add),
    "-": (pc.subtract_checked, pc.subtract),
    "*": (pc.multiply_checked, pc.multiply),
    "/": (None, lambda a, b: pc.divide(a, _null_for_zero(b))),
}

#: Rows that are evaluated one by one, at a time.
_ROWS_AT_ONCE = 4096

Columns = Mapping[str, pa.ChunkedArray]


def evaluate(node: nodes.Node, columns: Columns, rows: int, kind: pa.DataType) -> pa.ChunkedArray:
    """The values of an expression of Arrow type `kind` for `rows` rows of columns.

    Raises:
        BadRecordError: arithmetic that leaves int64 or the finite doubles.
    """
    try:
        value = _evaluate(node, columns)
    except (pa.ArrowInvalid, _RowByRowError):
        # Here every branch of CASE and COALESCE is computed for every row. Where one of them
        # fails, only row by row is it known whether a row takes it.
        return _row_by_row(node, columns, kind)
    if isinstance(value, pa.Scalar):
        return pa.chunked_array([pa.repeat(value.cast(kind), rows)])
    return value.cast(kind)


class _RowByRowError(Exception):
    """An expression that whole columns can't answer, such as one that gives NaN somewhere."""


def _row_by_row(node: nodes.Node, columns: Columns, kind: pa.DataType) -> pa.ChunkedArray:
    batches = pa.table(dict(columns)).to_batches(max_chunksize=_ROWS_AT_ONCE)
    chunks = (
        pa.array([evaluate_row(node, row) for row in batch.to_pylist()], kind) for batch in batches
    )
    return pa.chunked_array(chunks, kind)


def _evaluate(node: nodes.Node, columns: Columns) -> pa.ChunkedArray | pa.Scalar:  # noqa: C901, PLR0911, PLR0912 - one arm for each node
    match node:
        case nodes.Literal(value):
            return pa.scalar(value)
        case nodes.ColumnRef(name):
            return columns[name]
        case nodes.Compare(op, left, right):
            a, b = _evaluate(left, columns), _evaluate(right, columns)
            if pa.null() in (a.type, b.type):
                return pa.scalar(None, pa.bool_())
            if pa.types.is_floating(a.type) or pa.types.is_floating(b.type):
                a, b = _double(a), _double(b)
            return _COMPARE[op](a, b)
        case nodes.Arithmetic(op, left, right, floating):
            a, b = _evaluate(left, columns), _evaluate(right, columns)
            checked, plain = _ARITHMETIC[op]
            return _finite(plain(_double(a), _double(b))) if floating else checked(a, b)
        case nodes.Negate(operand):
            return pc.negate_checked(_evaluate(operand, columns))
        case nodes.Absolute(operand):
            return pc.abs_checked(_evaluate(operand, columns))
        case nodes.Not(operand):
            return pc.invert(_logical(operand, columns))
        case nodes.And(left, right):
            return pc.and_kleene(_logical(left, columns), _logical(right, columns))
        case nodes.Or(left, right):
            return pc.or_kleene(_logical(left, columns), _logical(right, columns))
        case nodes.IsNull(operand):
            return pc.is_null(_evaluate(operand, columns))
        case nodes.In(operand, constants):
            value = _evaluate(operand, columns)
            if value.type == pa.null():
                return pa.scalar(None, pa.bool_())
            if pa.types.is_floating(value.type):
                # Adding 0.0 makes 0.0 of -0.0, which has other bits but is equal.
                value = pc.add(value, 0.0)
                constants = tuple(float(constant or 0.0) + 0.0 for constant in constants)
            found = pc.is_in(value, value_set=pa.array(constants, value.type))
            return pc.if_else(pc.is_null(value), pa.scalar(None, pa.bool_()), found)
        case nodes.Case(branches, otherwise):
            result = _evaluate(otherwise, columns)
            for condition, branch in reversed(branches):
                taken = pc.fill_null(_logical(condition, columns), False)  # noqa: FBT003 - a value
                result = pc.if_else(taken, _evaluate(branch, columns), result)
            return result
        case nodes.Coalesce(operands):
            found = [_evaluate(operand, columns) for operand in operands]
            typed = [value for value in found if value.type != pa.null()]
            return reduce(pc.coalesce, typed) if typed else found[0]
        case nodes.GreatCircle():
            # Its steps are those of plain Python, to the last bit.
            raise _RowByRowError


def _null_for_zero(divisor: pa.ChunkedArray | pa.Scalar) -> pa.ChunkedArray | pa.Scalar:
    return pc.if_else(pc.equal(divisor, 0.0), pa.scalar(None, pa.float64()), divisor)


def _finite(value: pa.ChunkedArray | pa.Scalar) -> pa.ChunkedArray | pa.Scalar:
    finite = pc.fill_null(pc.is_finite(value), True)  # noqa: FBT003 - a value
    if not (finite if isinstance(finite, pa.Scalar) else pc.all(finite, min_count=0)).as_py():
        raise _RowByRowError
    return value


def _double(value: pa.ChunkedArray | pa.Scalar) -> pa.ChunkedArray | pa.Scalar:
    # "safe" would refuse integers above 2**53, which round to the nearest double here.
    return value.cast(pa.float64(), safe=False)


def _logical(node: nodes.Node, columns: Columns) -> pa.ChunkedArray | pa.Scalar:
    value = _evaluate(node, columns)
    return value.cast(pa.bool_()) if value.type == pa.null() else value
