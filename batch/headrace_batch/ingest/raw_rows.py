"""Rows as a file holds them, before they are checked, each with its number and its own text."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from headrace_schemas.reasons import Reason

Numbers = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Problem:
    """A reason to reject a row, and the column that it concerns ("" where it is none alone).

    Where the row breaks a rule of its source, `column` is the name of that.
    """

    reason: Reason
    column: str

    @property
    def code(self) -> str:
        """The reason as it is kept: where a rule is broken, which one."""
        return self.column if self.reason is Reason.RULE_BROKEN else self.reason.value


@dataclass(frozen=True, slots=True)
class RefusedRow:
    """A row that is no event: its text, and what could be read of it.

    `event` is a JSON object of the contract's columns, in which what can't be read is null; None
    where the reader could not turn the row into columns.
    """

    number: int
    problems: tuple[Problem, ...]
    text: str
    event: str | None = None


@dataclass(frozen=True, slots=True)
class RawRows:
    """Consecutive rows of a file.

    Rows are numbered from 1; headers and blank lines have no number. `table` has the columns of
    the file that a source asks for, in the types of the file, and one of its rows for each
    element of `numbers`; `refused` has the other rows. `last` is the number of the last row of
    both. `texts` are the lines that the rows of the table came from, where there are lines.
    """

    table: pa.Table
    numbers: Numbers
    refused: tuple[RefusedRow, ...]
    last: int
    texts: Sequence[bytes] | None = None

    def after(self, number: int) -> RawRows:
        """The rows with greater numbers."""
        if number <= 0 or (self.numbers.size and self.numbers[0] > number and not self.refused):
            return self
        first = int(np.searchsorted(self.numbers, number, side="right"))
        return RawRows(
            self.table.slice(first),
            self.numbers[first:],
            tuple(row for row in self.refused if row.number > number),
            self.last,
            None if self.texts is None else self.texts[first:],
        )

    def texts_at(self, positions: Numbers) -> list[str]:
        """Some rows of the table as JSON text: the line itself, or else the columns as read."""
        if self.texts is not None:
            return [text_of(self.texts[position]) for position in positions]
        return [
            json.dumps(_plain(row), ensure_ascii=False)
            for row in self.table.take(pa.array(positions)).to_pylist()
        ]


def text_of(raw: bytes) -> str:
    """Bytes as text, in which what is not UTF-8 is spelled out as escapes."""
    return raw.decode("utf-8", errors="backslashreplace")


def _plain(row: Mapping[str, Any]) -> dict[str, Any]:
    return {name: _plain_value(value) for name, value in row.items()}


def _plain_value(value: Any) -> Any:
    """A value that JSON can hold, with as much of the original as possible."""
    if isinstance(value, bytes):
        return text_of(value)
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, datetime | date):
        return value.isoformat()
    if value is None or isinstance(value, bool | int | float | str):
        return value
    return str(value)
