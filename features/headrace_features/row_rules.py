"""Which rules of their source events break: whole columns at a time, or one event."""

from __future__ import annotations

import re
from collections.abc import Mapping
from operator import attrgetter
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from headrace_features.definitions.row_rules import (
    AnyRowRule,
    FormatRule,
    ReferenceRule,
    RowRule,
    TimelyRule,
)
from headrace_features.expressions.arrow import evaluate as evaluate_columns
from headrace_features.expressions.rows import evaluate as evaluate_row
from headrace_schemas.errors import BadRecordError
from headrace_schemas.reasons import Reason

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from headrace_features.definitions.sources import EventSource
    from headrace_features.expressions.grammar import Expression

Bools = npt.NDArray[np.bool_]
Times = npt.NDArray[np.int64]
#: By the name of a rule: which values of a column, without nulls, the source that it refers to has.
Known = Mapping[str, "Callable[[pa.Array], Bools]"]


class RowRules:
    """The rules of one source.

    Those that refer to another source are looked at where their values are known, which is in
    batch alone.
    """

    def __init__(self, source: EventSource, known: Known | None = None) -> None:
        """Prepare for events of `source`."""
        self._source = source
        self._known = known or {}
        self._patterns = {
            rule.name: re.compile(rule.pattern)
            for rule in source.rules
            if isinstance(rule, FormatRule)
        }
        self._known_at = source.available_at or source.event_time
        self._row = attrgetter(*(column.name for column in source.columns))
        self._names = [column.name for column in source.columns]

    def broken_rows(self, events: pa.Table, arrived_ms: Times | int | None) -> dict[str, Bools]:
        """For each rule that any of the events breaks, which of them do.

        Args:
            events: the columns of the source, and rows that fulfil its contract.
            arrived_ms: when each of them, or all, arrived, ms UTC; None where nothing tells.
        """
        found: dict[str, Bools] = {}
        if not events.num_rows:
            return found
        for rule in self._source.rules:
            broken = self._broken(rule, events, arrived_ms)
            if broken is not None and broken.any():
                found[rule.name] = broken
        return found

    def broken_by(self, event: Any, arrived_ms: int) -> list[str]:
        """The names of the rules that an event breaks which arrived at a time, ms UTC."""
        return [rule.name for rule in self._source.rules if self._breaks(rule, event, arrived_ms)]

    def _broken(
        self, rule: AnyRowRule, events: pa.Table, arrived_ms: Times | int | None
    ) -> Bools | None:
        match rule:
            case RowRule():
                return _not_true(self._source.conditions[rule.name], events)
            case FormatRule():
                return unlike(events.column(rule.column), self._patterns[rule.name].search)
            case TimelyRule():
                if arrived_ms is None:
                    return None
                known_at = events.column(self._known_at).to_numpy()
                return np.asarray(arrived_ms - known_at > rule.within_ms)
            case ReferenceRule():
                if rule.name not in self._known:
                    return None
                return _wrong(events.column(rule.column), self._known[rule.name])

    def _breaks(self, rule: AnyRowRule, event: Any, arrived_ms: int) -> bool:
        match rule:
            case RowRule():
                row = dict(zip(self._names, self._row(event), strict=True))
                return not _is_true(self._source.conditions[rule.name], row)
            case FormatRule():
                value = getattr(event, rule.column)
                return value is not None and self._patterns[rule.name].search(value) is None
            case TimelyRule():
                return bool(arrived_ms - getattr(event, self._known_at) > rule.within_ms)
            case ReferenceRule():
                return False


def meaning_of(source: EventSource, code: str) -> str:
    """What a row with a code looks like: a reason of every contract, or the name of a rule."""
    if code in set(Reason):
        return Reason(code).meaning
    for rule in source.rules:
        if rule.name == code:
            return rule.description or f"the row breaks the rule {rule.name}"
    return "the row breaks a rule that its source no longer has"


def _not_true(condition: Expression, events: pa.Table) -> Bools:
    columns = {name: events.column(name) for name in condition.columns}
    try:
        holds = evaluate_columns(condition.node, columns, events.num_rows, pa.bool_())
    except BadRecordError:
        # Some row can't be computed; which one is known row by row.
        rows = _rows(columns, events.num_rows)
        return np.array([not _is_true(condition, row) for row in rows], np.bool_)
    return ~np.asarray(pc.fill_null(holds, fill_value=False).to_numpy(), np.bool_)


def _rows(columns: Mapping[str, pa.ChunkedArray], rows: int) -> Iterator[dict[str, Any]]:
    if not columns:
        return iter([{}] * rows)
    return iter(pa.table(dict(columns)).to_pylist())


def _is_true(condition: Expression, row: Mapping[str, Any]) -> bool:
    try:
        return evaluate_row(condition.node, row) is True
    except BadRecordError:
        return False


def unlike(values: pa.ChunkedArray, is_like: Callable[[str], object]) -> Bools:
    """Where a text is not as it should be; each distinct one is looked at once, null is all right.

    `is_like` gives what counts as true for a text that is.
    """
    return _wrong(
        values,
        lambda distinct: np.array([bool(is_like(one)) for one in distinct.to_pylist()], np.bool_),
    )


def _wrong(values: pa.ChunkedArray, are_right: Callable[[pa.Array], Bools]) -> Bools:
    """Where a value is wrong, by what is said of all distinct ones but null."""
    encoded = values.combine_chunks().dictionary_encode()
    right = are_right(encoded.dictionary)
    if right.all():
        return np.zeros(len(values), np.bool_)
    found = pc.fill_null(pa.array(~right, pa.bool_()).take(encoded.indices), fill_value=False)
    return np.asarray(found.to_numpy(zero_copy_only=False), np.bool_)
