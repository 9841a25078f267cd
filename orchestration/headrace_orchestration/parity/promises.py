"""The three promises, checked for one view as one declaration of decisions asks it.

P1, final state: the state of an entity after some events is the same as batch computes from the
same events. A state can't be looked into from outside, but its newest complete decision shows it:
its values have to be those of the set of all events that the state had taken in up to its number,
computed in the order of time, whatever the order of arrival was. One row for each entity. It says
nothing of later times than that of the decision, which are asked of the state by nobody.

P2, as it happened: each decision has the values of the events that its entity's state had taken in
up to its number. It is computed for every row by the kernel, and by the oracle, fed event by event
in that order, for a sample of entities.

P3, no skew: each decision has the value that batch gives at that point in time. A row that differs
is explained only if taking out and putting in exactly the events named, those that only one of
state and batch has, turns batch's value into the emitted one, bit for bit.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from headrace_features.definitions.views import SEPARATOR
from headrace_orchestration.parity.columns import same
from headrace_orchestration.parity.reasons import (
    REASONS,
    Evidence,
    Reason,
    code_of,
    evidence_of,
)
from headrace_orchestration.parity.states import Status
from headrace_orchestration.parity.values import Kernel, Values
from headrace_streaming.job.config import JobConfig

if TYPE_CHECKING:
    from headrace_features.kernel.arrays import Bools, Ints
    from headrace_orchestration.parity.states import ViewState

_NO_PAIRS = np.empty(0, np.int64)


@dataclass(frozen=True)
class Differences:
    """The rows of which one feature differs.

    Attributes:
        feature: its name.
        row: the rows.
        emitted: what the stream emitted.
        expected: what it should be by the promise.
        reason: the number of the reason for each.
        evidence: the events that show it.
    """

    feature: str
    row: Ints
    emitted: pa.ChunkedArray
    expected: pa.Array
    reason: Ints
    evidence: Evidence


@dataclass(frozen=True)
class Outcome:
    """What became of one promise for one view.

    Attributes:
        promise: P1, P2 or P3.
        state: whose.
        rows: how many rows were compared.
        equal: how many of them have the same bits in every feature.
        reasons: how many of the others have which reason.
        differences: feature by feature.
    """

    promise: str
    state: ViewState
    rows: int
    equal: int
    reasons: Counter[Reason]
    differences: tuple[Differences, ...] = field(repr=False)

    @property
    def unexplained(self) -> int:
        """How many rows nothing explains."""
        return self.reasons[Reason.UNEXPLAINED]

    def lines(self) -> Iterator[dict[str, Any]]:
        """The differences, one mapping for each row and feature."""
        state = self.state
        for one in self.differences:
            order = np.argsort(one.evidence.row, kind="stable")
            rows, events = one.evidence.row[order], one.evidence.event[order]
            starts = np.searchsorted(rows, one.row)
            ends = np.searchsorted(rows, one.row, side="right")
            taken = pa.array(one.row)
            told = zip(
                state.asked.key.take(taken).to_pylist(),
                state.asked.ids.take(taken).to_pylist(),
                state.asked.time_ms[one.row].tolist(),
                one.emitted.to_pylist(),
                one.expected.to_pylist(),
                one.reason.tolist(),
                zip(starts.tolist(), ends.tolist(), strict=True),
                strict=True,
            )
            shown = state.events.ids.take(pa.array(events)).to_pylist()
            for key, event, time_ms, emitted, expected, reason, (start, end) in told:
                yield {
                    "promise": self.promise,
                    "decisions": state.decisions.name,
                    "view": state.view.name,
                    "feature": one.feature,
                    "entity": key,
                    "event": event,
                    "event_time": time_ms,
                    "emitted": emitted,
                    "expected": expected,
                    "reason": str(REASONS[reason]),
                    "explained_by": shown[start:end],
                }


class Comparison:
    """Compares what a view emitted with what it should have."""

    def __init__(self, state: ViewState, emitted: pa.Table) -> None:
        """Take what was emitted.

        Args:
            state: the view as it was kept.
            emitted: the decisions, in the order of `state.asked`.
        """
        self._state = state
        self._emitted = {
            name: emitted[f"{state.view.name}{SEPARATOR}{name}"]
            for name in state.view.feature_names
        }
        self._kernel = Kernel(state)

    def final_state(self) -> Outcome:
        """P1: the newest complete decision of each entity."""
        asked = self._state.asked
        complete = np.flatnonzero(asked.usable & (asked.status == Status.COMPLETE))
        order = complete[
            np.lexsort((asked.time_ms[complete], asked.sequence[complete], asked.entity[complete]))
        ]
        newest = np.ones(len(order), np.bool_)
        newest[:-1] = asked.entity[order][1:] != asked.entity[order][:-1]
        rows = order[newest]
        found = self._kernel.last(rows)
        return self._outcome("P1", rows, found, self._unlike(rows, found), None)

    def as_it_happened_and_no_skew(self) -> tuple[Outcome, Outcome]:
        """P2 and P3: every decision."""
        state = self._state
        asked = state.asked
        everyone = np.arange(len(asked))
        batch = self._kernel.batch()
        skewed = self._unlike(everyone, batch)
        # Where state and batch had the same events, batch's values are those of the state.
        happened = skewed.copy()
        uncertain = self._kernel.uncertain()
        pairs: list[Evidence] = []
        told: list[tuple[Ints, Values]] = []
        for seen in self._kernel.seen(uncertain):
            found = self._kernel.of(seen)
            wrong = self._unlike(seen.rows, found)
            happened[seen.rows] = wrong
            evidence = evidence_of(state, seen)
            shown = skewed[evidence.row] & ~happened[evidence.row]
            pairs.append(_picked(evidence, shown))
            bad = np.flatnonzero(wrong)
            told.append((seen.rows[bad], _taken(found, bad)))
        late = np.flatnonzero(asked.status == Status.LATE)
        pairs.append(self._lateness(late, happened))
        happened[asked.status == -1] = True
        usable = asked.usable
        rows = np.flatnonzero(usable)
        regular = np.setdiff1d(np.flatnonzero(happened & usable), uncertain)
        told.append((regular, _taken(batch, regular)))
        return (
            self._as_happened(rows, happened & usable, told),
            self._outcome("P3", everyone, batch, skewed, _joined(pairs)),
        )

    def _unlike(self, rows: Ints, found: Values) -> Bools:
        """Which rows were emitted with other bits, or with another status."""
        status = self._state.asked.status[rows]
        unlike = np.zeros(len(rows), np.bool_)
        taken = pa.array(rows)
        for name, expected in found.columns.items():
            unlike |= ~same(self._emitted[name].take(taken), expected)
        unlike |= (status == Status.OVERFLOW) != found.overflow
        return unlike

    def _lateness(self, late: Ints, happened: Bools) -> Evidence:
        """Rows that tell no values since their event came too late: is that so?"""
        state = self._state
        newest = self._kernel.newest_event(late)
        lateness_ms = JobConfig(kafka={}).lateness_ms
        true = newest >= 0
        clock_ms = state.events.time_ms[newest]
        true &= state.asked.time_ms[late] < clock_ms - lateness_ms
        for column in self._emitted.values():
            true &= pc.is_null(column.take(pa.array(late))).to_numpy()
        happened[late] = ~true
        return Evidence(
            late[true], newest[true], np.full(int(true.sum()), code_of(Reason.LATE), np.int64)
        )

    def _as_happened(self, rows: Ints, wrong: Bools, told: list[tuple[Ints, Values]]) -> Outcome:
        differences: list[Differences] = []
        for some, found in told:
            inside = np.flatnonzero(wrong[some])
            taken = _taken(found, inside)
            differences.extend(self._differences(some[inside], taken, None))
        reasons = Counter({Reason.UNEXPLAINED: int(wrong.sum())})
        equal = len(rows) - int(wrong.sum())
        return Outcome("P2", self._state, len(rows), equal, reasons, tuple(differences))

    def _outcome(
        self, promise: str, rows: Ints, found: Values, unlike: Bools, evidence: Evidence | None
    ) -> Outcome:
        some = np.flatnonzero(unlike)
        reason = _least(rows[some], evidence)
        reasons = Counter(
            {
                REASONS[code]: int(count)
                for code, count in enumerate(np.bincount(reason, minlength=len(REASONS)))
                if count
            }
        )
        differences = self._differences(rows[some], _taken(found, some), evidence)
        equal = len(rows) - len(some)
        return Outcome(promise, self._state, len(rows), equal, reasons, tuple(differences))

    def _differences(
        self, rows: Ints, found: Values, evidence: Evidence | None
    ) -> Iterator[Differences]:
        """Feature by feature the rows of which it differs."""
        for feature in self._state.view.features:
            emitted = self._emitted[feature.name].take(pa.array(rows))
            unlike = np.flatnonzero(~same(emitted, found.columns[feature.name]))
            if not len(unlike):
                continue
            some = rows[unlike]
            shown = Evidence(_NO_PAIRS, _NO_PAIRS, _NO_PAIRS)
            reason = np.full(len(some), code_of(Reason.UNEXPLAINED), np.int64)
            if evidence is not None:
                of_rows = _of_rows(evidence, some)
                late = of_rows.reason == code_of(Reason.LATE)
                shown = _joined([_picked(of_rows, late), of_rows.inside(self._state, feature)])
                # Where a sum is outside int64 a row has no features at all.
                reason = _least(some, shown)
                reason = np.where(reason == 0, _least(some, of_rows), reason)
            taken = pa.array(unlike)
            yield Differences(
                feature.name,
                some,
                emitted.take(taken),
                found.columns[feature.name].take(taken),
                reason,
                shown,
            )


def _taken(found: Values, rows: Ints) -> Values:
    taken = pa.array(rows)
    columns = {name: column.take(taken) for name, column in found.columns.items()}
    return Values(columns, found.overflow[rows])


def _joined(parts: list[Evidence]) -> Evidence:
    return Evidence(
        np.concatenate([_NO_PAIRS, *(part.row for part in parts)]),
        np.concatenate([_NO_PAIRS, *(part.event for part in parts)]),
        np.concatenate([_NO_PAIRS, *(part.reason for part in parts)]),
    )


def _of_rows(evidence: Evidence, rows: Ints) -> Evidence:
    return _picked(evidence, np.isin(evidence.row, rows))


def _picked(evidence: Evidence, some: Bools) -> Evidence:
    return Evidence(evidence.row[some], evidence.event[some], evidence.reason[some])


def _least(rows: Ints, evidence: Evidence | None) -> Ints:
    """For each row the least of the reasons that events show; none shown is unexplained."""
    if evidence is None or not len(evidence.row):
        return np.full(len(rows), code_of(Reason.UNEXPLAINED), np.int64)
    order = np.lexsort((evidence.reason, evidence.row))
    known, firsts = np.unique(evidence.row[order], return_index=True)
    at = np.searchsorted(known, rows)
    at[at == len(known)] = 0
    least = evidence.reason[order][firsts[at]]
    result: Ints = np.where(known[at] == rows, least, code_of(Reason.UNEXPLAINED))
    return result
