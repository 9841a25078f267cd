"""Row expressions in plain Python, one row at a time: what every engine has to equal."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Mapping

from headrace_features.expressions import nodes
from headrace_features.expressions.great_circle import great_circle_km
from headrace_schemas.columns import INT64_MAX, INT64_MIN
from headrace_schemas.errors import BadRecordError
from headrace_schemas.reasons import Reason

_COMPARE: Mapping[str, Callable[..., bool]] = {
    "=": operator.eq,
    "<>": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
_ARITHMETIC: Mapping[str, Callable[..., float]] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": operator.truediv,
}


def evaluate(node: nodes.Node, row: Mapping[str, nodes.Value]) -> nodes.Value:  # noqa: C901, PLR0911, PLR0912 - one arm for each node
    """The value of an expression for a row; None is null.

    Raises:
        BadRecordError: arithmetic that leaves int64 or the finite doubles.
    """
    match node:
        case nodes.Literal(value):
            return value
        case nodes.ColumnRef(name):
            return row[name]
        case nodes.Compare(op, left, right):
            a, b = evaluate(left, row), evaluate(right, row)
            if a is None or b is None:
                return None
            if isinstance(a, float) or isinstance(b, float):
                # A double and an int64 are compared as doubles, as SQL engines do.
                a, b = float(a), float(b)
            return _COMPARE[op](a, b)
        case nodes.Arithmetic(op, left, right, floating):
            x, y = evaluate(left, row), evaluate(right, row)
            if x is None or y is None or (op == "/" and y == 0):
                return None
            return _checked(_ARITHMETIC[op](*((float(x), float(y)) if floating else (x, y))))
        case nodes.Negate(operand):
            value = evaluate(operand, row)
            return None if value is None else _checked(-value)  # type: ignore[operator] # numeric by type check
        case nodes.Absolute(operand):
            value = evaluate(operand, row)
            return None if value is None else _checked(abs(value))  # type: ignore[arg-type] # numeric by type check
        case nodes.Not(operand):
            value = evaluate(operand, row)
            return None if value is None else not value
        case nodes.And(left, right):
            values = (evaluate(left, row), evaluate(right, row))
            return False if False in values else None if None in values else True
        case nodes.Or(left, right):
            values = (evaluate(left, row), evaluate(right, row))
            return True if True in values else None if None in values else False
        case nodes.IsNull(operand):
            return evaluate(operand, row) is None
        case nodes.In(operand, constants):
            value = evaluate(operand, row)
            return None if value is None else value in constants
        case nodes.Case(branches, otherwise):
            for condition, result in branches:
                if evaluate(condition, row) is True:
                    return evaluate(result, row)
            return evaluate(otherwise, row)
        case nodes.Coalesce(operands):
            found = (evaluate(operand, row) for operand in operands)
            return next((value for value in found if value is not None), None)
        case nodes.GreatCircle(arguments):
            degrees = [evaluate(argument, row) for argument in arguments]
            if None in degrees:
                return None
            return great_circle_km(*(float(value) for value in degrees))  # type: ignore[arg-type] # numeric by type check


def _checked(value: float) -> float:
    if isinstance(value, int) and not INT64_MIN <= value <= INT64_MAX:
        raise BadRecordError(
            Reason.INTEGER_OVERFLOW, f"a row expression gives {value}, which is outside int64"
        )
    if not math.isfinite(value):
        raise BadRecordError(
            Reason.NOT_FINITE, f"a row expression gives {value}, which is no finite double"
        )
    return value
