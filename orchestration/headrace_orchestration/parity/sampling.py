"""Decisions held to the oracle itself, which is slow: all of some entities."""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from headrace_features import oracle
from headrace_features.decisions import fired
from headrace_features.definitions.views import SEPARATOR
from headrace_features.oracle import SpineRow
from headrace_orchestration.parity.asked import Status
from headrace_orchestration.parity.findings import Fault, Finding
from headrace_orchestration.parity.sequences import NEVER
from headrace_schemas.columns import ColumnType
from headrace_schemas.errors import BadRecordError

if TYPE_CHECKING:
    from headrace_features.definitions.decisions import Decisions
    from headrace_features.kernel.arrays import Ints
    from headrace_orchestration.parity.states import ViewState


@dataclass(frozen=True)
class Sample:
    """What the oracle said of the decisions of some entities.

    Attributes:
        state: the view.
        entities: how many entities.
        rows: how many decisions.
        unlike: how many of them differ in some feature.
        lines: the differences, one mapping for each row and feature.
        picked: the positions of the decisions.
    """

    state: ViewState
    entities: int
    rows: int
    unlike: int
    lines: tuple[Mapping[str, Any], ...] = field(repr=False)
    picked: Ints = field(repr=False)


def sampled(state: ViewState, emitted: pa.Table, entities: int) -> Sample:
    """Compare the complete decisions of some entities with the oracle, fed in order of sequence.

    Args:
        state: the view.
        emitted: the decisions.
        entities: how many; which ones depends on their keys alone. Those of which the stream
            counts a duplicate are left out, since the oracle recognises every one.
    """
    asked, events = state.asked, state.events
    chosen = _chosen(state, entities)
    lines: list[Mapping[str, Any]] = []
    rows = unlike = 0
    picked = []
    for code in chosen:
        members = np.flatnonzero(asked.entity == code)
        taken = np.flatnonzero((events.entity == code) & (events.place < NEVER))
        taken = taken[np.lexsort((events.available_ms[taken], events.place[taken]))]
        history = events.table.take(pa.array(taken)).to_pylist()
        for row in members.tolist():
            held = _held(state, row)
            if asked.status[row] == Status.LATE or not held:
                continue
            rows += 1
            picked.append(row)
            found = [
                line
                for line in _unlike(state, emitted, row, history, taken)
                if line["feature"] in held
            ]
            lines.extend(found)
            unlike += bool(found)
    return Sample(
        state, len(chosen), rows, unlike, tuple(lines), np.array(sorted(picked), np.int64)
    )


def wrong_rules(decisions: Decisions, table: pa.Table, rows: Ints) -> Iterator[Finding]:
    """Decisions among some rows whose rules are not those that their own values fire."""
    columns = {column.name: f"event.{column.name}" for column in decisions.source.columns}
    features = [
        f"{view.name}{SEPARATOR}{name}" for view in decisions.views for name in view.feature_names
    ]
    for told in table.take(pa.array(rows)).to_pylist():
        if told["lacking"]:
            # By other definitions.
            continue
        event = {name: told[column] for name, column in columns.items()}
        rules = fired(decisions, event, {name: told[name] for name in features})
        if tuple(told["rules"]) != rules or told["flagged"] != bool(rules):
            message = (
                f"{', '.join(told['rules']) or 'none'} told, {', '.join(rules) or 'none'} fired"
            )
            yield Finding(Fault.RULES, decisions.name, told["id"], message)


def _chosen(state: ViewState, entities: int) -> list[int]:
    """The codes of entities with decisions in order, in the order of a hash of their keys."""
    asked, events = state.asked, state.events
    fit = np.zeros(state.entities, np.bool_)
    fit[asked.entity[asked.usable]] = True
    fit[events.entity[~events.batch]] = False
    codes, firsts = np.unique(asked.entity, return_index=True)
    keys = asked.key.take(pa.array(firsts)).to_pylist()
    hashed = sorted(
        (zlib.crc32(key.encode()), key, code)
        for key, code in zip(keys, codes.tolist(), strict=True)
        if fit[code]
    )
    return [code for _, _, code in hashed[:entities]]


def _held(state: ViewState, row: int) -> set[str]:
    """The features that a decision is held to."""
    excused = {name for name, excuse in state.excuses.items() if excuse[row]}
    return {*state.view.feature_names} - excused


def _unlike(
    state: ViewState, emitted: pa.Table, row: int, history: list[dict[str, Any]], taken: Ints
) -> Iterator[Mapping[str, Any]]:
    view, asked, events = state.view, state.asked, state.events
    time_ms, number = int(asked.time_ms[row]), asked.sequence[row]
    seen = events.place[taken] <= number
    if view.lookback_ms is not None:
        seen &= events.time_ms[taken] >= time_ms - view.lookback_ms
    rows = [history[place] for place in np.flatnonzero(seen).tolist()]
    key = str(asked.key[row].as_py())
    event = str(asked.ids[row].as_py())
    typed = int(key) if view.source.column(view.entity.join_key).type is ColumnType.INT64 else key
    expected: Mapping[str, Any]
    try:
        expected = oracle.values(view, rows, [SpineRow(typed, time_ms, event)])[0]
    except BadRecordError:
        expected = dict.fromkeys(view.feature_names)
    for name, value in expected.items():
        found = emitted[f"{view.name}{SEPARATOR}{name}"][row].as_py()
        if _bits(found) != _bits(value):
            yield {
                "promise": "P2 by the oracle",
                "decisions": state.decisions.name,
                "view": view.name,
                "feature": name,
                "entity": key,
                "event": event,
                "event_time": time_ms,
                "emitted": found,
                "expected": value,
                "reason": "unexplained",
                "explained_by": [],
            }


def _bits(value: object) -> object:
    return value.hex() if isinstance(value, float) else value
