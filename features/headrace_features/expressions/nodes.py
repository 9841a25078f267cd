"""The nodes of a row expression: frozen values that know no engine."""

from __future__ import annotations

from dataclasses import dataclass

Value = int | float | str | bool | None


@dataclass(frozen=True, slots=True)
class Literal:
    """A constant; None is NULL."""

    value: Value


@dataclass(frozen=True, slots=True)
class ColumnRef:
    """The value of a column in the row."""

    name: str


@dataclass(frozen=True, slots=True)
class Compare:
    """`left op right` with op one of = <> < <= > >=; null if either side is."""

    op: str
    left: Node
    right: Node


@dataclass(frozen=True, slots=True)
class Arithmetic:
    """`left op right` with op one of + - * /; int64 is exact or an error, never a wrap.

    Division is always one of doubles, and null where the divisor is 0.
    """

    op: str
    left: Node
    right: Node
    floating: bool


@dataclass(frozen=True, slots=True)
class Negate:
    """`-operand`."""

    operand: Node


@dataclass(frozen=True, slots=True)
class Absolute:
    """`ABS(operand)`."""

    operand: Node


@dataclass(frozen=True, slots=True)
class Not:
    """`NOT operand` in three-valued logic."""

    operand: Node


@dataclass(frozen=True, slots=True)
class And:
    """`left AND right` in three-valued logic."""

    left: Node
    right: Node


@dataclass(frozen=True, slots=True)
class Or:
    """`left OR right` in three-valued logic."""

    left: Node
    right: Node


@dataclass(frozen=True, slots=True)
class IsNull:
    """`operand IS NULL`, never null itself."""

    operand: Node


@dataclass(frozen=True, slots=True)
class In:
    """`operand IN (constants)`; null if the operand is."""

    operand: Node
    values: tuple[Value, ...]


@dataclass(frozen=True, slots=True)
class Case:
    """`CASE WHEN … THEN … ELSE … END`; a condition that is null is not taken."""

    branches: tuple[tuple[Node, Node], ...]
    otherwise: Node


@dataclass(frozen=True, slots=True)
class Coalesce:
    """`COALESCE(a, b, …)`: the first that is not null."""

    operands: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class GreatCircle:
    """`GREAT_CIRCLE_KM(latitude, longitude, latitude, longitude)`; null if any argument is."""

    arguments: tuple[Node, Node, Node, Node]


Node = (
    Literal
    | ColumnRef
    | Compare
    | Arithmetic
    | Negate
    | Absolute
    | Not
    | And
    | Or
    | IsNull
    | In
    | Case
    | Coalesce
    | GreatCircle
)
