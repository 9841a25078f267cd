"""From SQL text to typed nodes; what is outside the grammar is refused with what is allowed."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from headrace_features.expressions import nodes
from headrace_schemas.columns import ColumnType
from headrace_schemas.errors import ConfigurationError

if TYPE_CHECKING:
    from sqlglot import exp
    from sqlglot.errors import SqlglotError

ALLOWED = (
    "columns, numbers, 'strings', TRUE, FALSE, NULL, = <> < <= > >=, AND, OR, NOT, IS [NOT] NULL, "
    "[NOT] IN (constants), [NOT] BETWEEN, + - * /, ABS, COALESCE, CASE WHEN, "
    "GREAT_CIRCLE_KM(latitude, longitude, latitude, longitude)"
)
_INT64 = range(-(2**63), 2**63)
_NUMERIC = (ColumnType.INT64, ColumnType.FLOAT64)


@dataclass(frozen=True, slots=True)
class Expression:
    """A checked row expression: its text, nodes, type and the columns that it reads."""

    text: str
    node: nodes.Node
    type: ColumnType
    columns: tuple[str, ...]


def parse(text: str, types: Mapping[str, ColumnType], where: str) -> Expression:
    """Parse and type-check one expression over columns of the given types.

    Raises:
        ConfigurationError: bad syntax, an unknown column, a type that doesn't fit or anything
            outside the grammar; `where` says in which declaration.
    """
    import sqlglot  # 0.1 s that a process without expressions doesn't pay
    from sqlglot import TokenType, exp
    from sqlglot.errors import SqlglotError

    try:
        tree = sqlglot.parse_one(text)
        tokens = sqlglot.tokenize(text)
    except SqlglotError as error:
        msg = f"{where}: {text!r} can't be parsed: {_reason(error)}"
        raise ConfigurationError(msg) from None
    reader = _Reader(types, where, text)
    node, kind = reader.read(tree)
    if kind is None:
        msg = f"{where}: {text!r} is always null"
        raise ConfigurationError(msg)
    # sqlglot adds brackets to `a = b IS NULL`, which other engines read as `(a = b) IS NULL`.
    bracketed = len(list(tree.find_all(exp.Paren, exp.In, exp.Abs, exp.Coalesce, exp.Anonymous)))
    if bracketed > sum(token.token_type is TokenType.L_PAREN for token in tokens):
        raise reader.ambiguous(text)
    return Expression(text, node, kind, tuple(dict.fromkeys(reader.columns)))


def _reason(error: SqlglotError) -> str:
    """Why a text can't be parsed, without names of the parser's classes."""
    reason = str(error).splitlines()[0]
    lacking = re.fullmatch(r"Required keyword: '\w+' missing for <class [^>]*>\. (.*)", reason)
    return reason if lacking is None else f"Something is missing. {lacking[1]}"


class _Reader:
    """Reads one syntax tree; keeps the columns it met."""

    def __init__(self, types: Mapping[str, ColumnType], where: str, text: str) -> None:
        self.types = types
        self.where = where
        self.text = text
        self.columns: list[str] = []

    def read(self, tree: exp.Expr) -> tuple[nodes.Node, ColumnType | None]:
        """The node of a tree and its type; None is the type of NULL."""
        reader = getattr(self, f"_{type(tree).__name__.lower()}", None)
        if reader is None:
            raise self._refused(tree.sql())
        result: tuple[nodes.Node, ColumnType | None] = reader(tree)
        return result

    def ambiguous(self, part: str) -> ConfigurationError:
        """The error for a condition that is compared without brackets around it."""
        msg = f"{self.where}: {part!r} compares a condition, and engines differ on which"
        return ConfigurationError(msg, hint="put brackets around the condition")

    def _refused(self, part: str) -> ConfigurationError:
        msg = f"{self.where}: {part!r} in {self.text!r} is not part of row expressions"
        return ConfigurationError(msg, hint=f"allowed: {ALLOWED}")

    def _mismatch(self, expected: str, tree: exp.Expr, found: object) -> ConfigurationError:
        msg = f"{self.where}: {tree.sql()!r} in {self.text!r} is {found}, expected {expected}"
        return ConfigurationError(msg)

    def _paren(self, tree: exp.Paren) -> tuple[nodes.Node, ColumnType | None]:
        return self.read(tree.this)

    def _null(self, tree: exp.Null) -> tuple[nodes.Node, None]:
        del tree
        return nodes.Literal(None), None

    def _boolean(self, tree: exp.Boolean) -> tuple[nodes.Node, ColumnType]:
        return nodes.Literal(bool(tree.this)), ColumnType.BOOL

    def _literal(self, tree: exp.Literal) -> tuple[nodes.Node, ColumnType]:
        if tree.is_string:
            return nodes.Literal(str(tree.this)), ColumnType.STRING
        text = str(tree.this)
        if text.isdigit():
            if int(text) not in _INT64:
                raise self._mismatch("an int64", tree, "too large")
            return nodes.Literal(int(text)), ColumnType.INT64
        if math.isinf(float(text)):
            raise self._mismatch("a float64", tree, "too large")
        return nodes.Literal(float(text)), ColumnType.FLOAT64

    def _column(self, tree: exp.Column) -> tuple[nodes.Node, ColumnType]:
        if tree.table:
            raise self._refused(tree.sql())
        if tree.name not in self.types:
            raise ConfigurationError.unknown(f"column in {self.where}", tree.name, self.types)
        self.columns.append(tree.name)
        return nodes.ColumnRef(tree.name), self.types[tree.name]

    def _neg(self, tree: exp.Neg) -> tuple[nodes.Node, ColumnType]:
        operand, kind = self._numeric(tree.this)
        if isinstance(operand, nodes.Literal) and isinstance(operand.value, int | float):
            return nodes.Literal(-operand.value), kind
        return nodes.Negate(operand), kind

    def _abs(self, tree: exp.Abs) -> tuple[nodes.Node, ColumnType]:
        operand, kind = self._numeric(tree.this)
        return nodes.Absolute(operand), kind

    def _add(self, tree: exp.Add) -> tuple[nodes.Node, ColumnType]:
        return self._arithmetic("+", tree)

    def _sub(self, tree: exp.Sub) -> tuple[nodes.Node, ColumnType]:
        return self._arithmetic("-", tree)

    def _mul(self, tree: exp.Mul) -> tuple[nodes.Node, ColumnType]:
        return self._arithmetic("*", tree)

    def _div(self, tree: exp.Div) -> tuple[nodes.Node, ColumnType]:
        left, _ = self._numeric(tree.this)
        right, _ = self._numeric(tree.expression)
        return nodes.Arithmetic("/", left, right, floating=True), ColumnType.FLOAT64

    def _eq(self, tree: exp.EQ) -> tuple[nodes.Node, ColumnType]:
        return self._compare("=", tree)

    def _neq(self, tree: exp.NEQ) -> tuple[nodes.Node, ColumnType]:
        return self._compare("<>", tree)

    def _lt(self, tree: exp.LT) -> tuple[nodes.Node, ColumnType]:
        return self._compare("<", tree)

    def _lte(self, tree: exp.LTE) -> tuple[nodes.Node, ColumnType]:
        return self._compare("<=", tree)

    def _gt(self, tree: exp.GT) -> tuple[nodes.Node, ColumnType]:
        return self._compare(">", tree)

    def _gte(self, tree: exp.GTE) -> tuple[nodes.Node, ColumnType]:
        return self._compare(">=", tree)

    def _between(self, tree: exp.Between) -> tuple[nodes.Node, ColumnType]:
        if tree.args.get("symmetric"):
            raise self._refused(tree.sql())
        operand, kind = self.read(tree.this)
        low, low_kind = self.read(tree.args["low"])
        high, high_kind = self.read(tree.args["high"])
        for other in (low_kind, high_kind):
            self._same(tree, kind, other)
        node = nodes.And(nodes.Compare(">=", operand, low), nodes.Compare("<=", operand, high))
        return node, ColumnType.BOOL

    def _and(self, tree: exp.And) -> tuple[nodes.Node, ColumnType]:
        return nodes.And(self._bool(tree.this), self._bool(tree.expression)), ColumnType.BOOL

    def _or(self, tree: exp.Or) -> tuple[nodes.Node, ColumnType]:
        return nodes.Or(self._bool(tree.this), self._bool(tree.expression)), ColumnType.BOOL

    def _not(self, tree: exp.Not) -> tuple[nodes.Node, ColumnType]:
        return nodes.Not(self._bool(tree.this)), ColumnType.BOOL

    def _is(self, tree: exp.Is) -> tuple[nodes.Node, ColumnType]:
        operand, _ = self.read(tree.this)
        right, right_kind = self.read(tree.expression)
        if right_kind is not None or right != nodes.Literal(None):
            raise self._refused(tree.sql())
        return nodes.IsNull(operand), ColumnType.BOOL

    def _in(self, tree: exp.In) -> tuple[nodes.Node, ColumnType]:
        if tree.args.get("query") is not None or not tree.expressions:
            raise self._refused(tree.sql())
        operand, kind = self.read(tree.this)
        values: list[nodes.Value] = []
        for item in tree.expressions:
            constant, constant_kind = self.read(item)
            if not isinstance(constant, nodes.Literal) or constant.value is None:
                raise self._mismatch("a constant", item, "not one")
            self._same(tree, kind, constant_kind)
            value = constant.value
            if kind is ColumnType.FLOAT64 and isinstance(value, int):
                value = float(value)
            if kind is ColumnType.INT64 and isinstance(value, float):
                raise self._mismatch("an int64", item, "float64")
            values.append(value)
        return nodes.In(operand, tuple(values)), ColumnType.BOOL

    def _case(self, tree: exp.Case) -> tuple[nodes.Node, ColumnType | None]:
        if tree.args.get("this") is not None:
            raise self._refused(tree.sql())
        branches: list[tuple[nodes.Node, nodes.Node]] = []
        kind: ColumnType | None = None
        for branch in tree.args["ifs"]:
            condition = self._bool(branch.this)
            value, value_kind = self.read(branch.args["true"])
            kind = self._exactly_same(tree, kind, value_kind)
            branches.append((condition, value))
        default = tree.args.get("default")
        otherwise: nodes.Node = nodes.Literal(None)
        if default is not None:
            otherwise, default_kind = self.read(default)
            kind = self._exactly_same(tree, kind, default_kind)
        return nodes.Case(tuple(branches), otherwise), kind

    def _coalesce(self, tree: exp.Coalesce) -> tuple[nodes.Node, ColumnType | None]:
        operands: list[nodes.Node] = []
        kind: ColumnType | None = None
        for item in (tree.this, *tree.expressions):
            operand, operand_kind = self.read(item)
            kind = self._exactly_same(tree, kind, operand_kind)
            operands.append(operand)
        return nodes.Coalesce(tuple(operands)), kind

    def _anonymous(self, tree: exp.Anonymous) -> tuple[nodes.Node, ColumnType]:
        """A function that SQL doesn't know: the one of ours."""
        given = tree.expressions
        if tree.name.upper() != "GREAT_CIRCLE_KM":
            raise self._refused(tree.sql())
        if len(given) != 4:  # noqa: PLR2004 - two points
            raise self._mismatch("four arguments", tree, f"{len(given)}")
        one, two, three, four = (self._number_or_null(item) for item in given)
        return nodes.GreatCircle((one, two, three, four)), ColumnType.FLOAT64

    def _number_or_null(self, tree: exp.Expr) -> nodes.Node:
        node, kind = self.read(tree)
        return node if kind is None else self._numeric(tree)[0]

    def _numeric(self, tree: exp.Expr) -> tuple[nodes.Node, ColumnType]:
        node, kind = self.read(tree)
        if kind not in _NUMERIC:
            raise self._mismatch("a number", tree, kind or "null")
        return node, kind

    def _bool(self, tree: exp.Expr) -> nodes.Node:
        node, kind = self.read(tree)
        if kind not in (ColumnType.BOOL, None):
            raise self._mismatch("bool", tree, kind)
        return node

    def _arithmetic(self, op: str, tree: exp.Binary) -> tuple[nodes.Node, ColumnType]:
        left, left_kind = self._numeric(tree.this)
        right, right_kind = self._numeric(tree.expression)
        floating = ColumnType.FLOAT64 in (left_kind, right_kind)
        kind = ColumnType.FLOAT64 if floating else ColumnType.INT64
        return nodes.Arithmetic(op, left, right, floating), kind

    def _compare(self, op: str, tree: exp.Binary) -> tuple[nodes.Node, ColumnType]:
        from sqlglot import exp

        if any(isinstance(side, exp.Predicate | exp.Not) for side in (tree.this, tree.expression)):
            raise self.ambiguous(tree.sql())
        left, left_kind = self.read(tree.this)
        right, right_kind = self.read(tree.expression)
        self._same(tree, left_kind, right_kind)
        return nodes.Compare(op, left, right), ColumnType.BOOL

    def _same(self, tree: exp.Expr, left: ColumnType | None, right: ColumnType | None) -> None:
        both_numbers = left in _NUMERIC and right in _NUMERIC
        if left is not right and not both_numbers and None not in (left, right):
            raise self._mismatch("values of one type", tree, f"{left} beside {right}")

    def _exactly_same(
        self, tree: exp.Expr, left: ColumnType | None, right: ColumnType | None
    ) -> ColumnType | None:
        if None not in (left, right) and left is not right:
            raise self._mismatch("values of one type", tree, f"{left} beside {right}")
        return right if left is None else left
