"""Row expressions as JSON, one object for each node."""

from __future__ import annotations

from typing import Any

from headrace_features.expressions import nodes

_TYPES = {bool: "bool", int: "int64", float: "float64", str: "string"}


def expression(node: nodes.Node) -> dict[str, Any]:  # noqa: C901, PLR0911, PLR0912 - one arm for each node
    """A node and all below it."""
    match node:
        case nodes.Literal(value):
            return _literal(value)
        case nodes.ColumnRef(name):
            return {"node": "column", "name": name}
        case nodes.Compare(op, left, right):
            return {"node": "compare", "op": op, **_sides(left, right)}
        case nodes.Arithmetic(op, left, right, floating):
            sides = _sides(left, right)
            return {"node": "arithmetic", "op": op, "floating": floating, **sides}
        case nodes.Negate(operand):
            return {"node": "negate", "operand": expression(operand)}
        case nodes.Absolute(operand):
            return {"node": "absolute", "operand": expression(operand)}
        case nodes.Not(operand):
            return {"node": "not", "operand": expression(operand)}
        case nodes.And(left, right):
            return {"node": "and", **_sides(left, right)}
        case nodes.Or(left, right):
            return {"node": "or", **_sides(left, right)}
        case nodes.IsNull(operand):
            return {"node": "is_null", "operand": expression(operand)}
        case nodes.In(operand, values):
            constants = [_literal(value) for value in values]
            return {"node": "in", "operand": expression(operand), "values": constants}
        case nodes.Case(branches, otherwise):
            pairs = [[expression(condition), expression(value)] for condition, value in branches]
            return {"node": "case", "branches": pairs, "otherwise": expression(otherwise)}
        case nodes.Coalesce(operands):
            return {"node": "coalesce", "operands": [expression(one) for one in operands]}
        case nodes.GreatCircle(arguments):
            return {"node": "great_circle_km", "arguments": [expression(one) for one in arguments]}


def _sides(left: nodes.Node, right: nodes.Node) -> dict[str, Any]:
    return {"left": expression(left), "right": expression(right)}


def _literal(value: nodes.Value) -> dict[str, Any]:
    kind = None if value is None else _TYPES[type(value)]
    return {"node": "literal", "type": kind, "value": value}
