"""The golden truth table of row expressions, read for every engine that it is run in."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from headrace_features.expressions.grammar import Expression, parse
from headrace_schemas.columns import ColumnType

_FILE = Path(__file__).parent / "golden" / "expressions.json"
_TABLE = json.loads(_FILE.read_text(encoding="utf-8"))

COLUMNS = {name: ColumnType(kind) for name, kind in _TABLE["columns"].items()}


@dataclass(frozen=True)
class Outcome:
    """A value, or the beginning of what an error says."""

    value: Any = None
    error: str | None = None


@dataclass(frozen=True)
class Line:
    """One row of the table.

    Attributes:
        text: the expression.
        row: a value for each column.
        expected: what the expression means.
        elsewhere: what an engine gives where it can't give that, with its values as text.
    """

    text: str
    row: dict[str, Any]
    expected: Outcome
    elsewhere: dict[str, Outcome]

    @property
    def expression(self) -> Expression:
        """The parsed expression."""
        return parse(self.text, COLUMNS, "truth table")

    def agrees(self, engine: str, found: Outcome) -> bool:
        """Whether an engine gave what the table says of it."""
        if engine not in self.elsewhere:
            return same(found, self.expected)
        expected = self.elsewhere[engine]
        if expected.error is None:
            return found.error is None and str(found.value) == expected.value
        return found.error is not None and expected.error in found.error


def same(left: Outcome, right: Outcome) -> bool:
    """Whether two outcomes are equal in type and bits: 1 is not TRUE, 0.0 is not -0.0."""
    return (left.error, type(left.value), repr(left.value)) == (
        right.error,
        type(right.value),
        repr(right.value),
    )


def _outcome(data: dict[str, Any]) -> Outcome:
    return Outcome(data.get("value"), data.get("raises"))


CASES: dict[str, tuple[ColumnType, list[Line]]] = {
    case["expression"]: (
        ColumnType(case["type"]),
        [
            Line(
                text=case["expression"],
                row={name: row["row"].get(name) for name in COLUMNS},
                expected=_outcome(row),
                elsewhere={
                    engine: _outcome(other) for engine, other in row.get("elsewhere", {}).items()
                },
            )
            for row in case["rows"]
        ],
    )
    for case in _TABLE["cases"]
}
LINES = [line for _, lines in CASES.values() for line in lines]
