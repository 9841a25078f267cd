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

A value that a decision can't be held to, see `excuses`, is counted with its reason where it
differs; whatever else a row has is held to the promises.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from headrace_features.definitions.views import SEPARATOR
from headrace_features.definitions.windows import Session, lookback_ms
from headrace_orchestration.parity.asked import Status
from headrace_orchestration.parity.columns import same
from headrace_orchestration.parity.outcomes import Differences, Outcome
from headrace_orchestration.parity.reasons import (
    REASONS,
    Evidence,
    Reason,
    code_of,
    evidence_of,
)
from headrace_orchestration.parity.values import Kernel, Values

if TYPE_CHECKING:
    from headrace_features.definitions.views import FeatureView
    from headrace_features.kernel.arrays import Bools, Ints
    from headrace_orchestration.parity.states import ViewState

_NO_PAIRS = np.empty(0, np.int64)


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
        answered = np.isin(asked.status, [Status.COMPLETE, Status.INCOMPLETE])
        complete = np.flatnonzero(asked.usable & answered)
        order = complete[
            np.lexsort((asked.time_ms[complete], asked.sequence[complete], asked.entity[complete]))
        ]
        newest = np.ones(len(order), np.bool_)
        newest[:-1] = asked.entity[order][1:] != asked.entity[order][:-1]
        rows = order[newest]
        found = self._kernel.last(rows)
        unlike = self._unlike(rows, found)
        excused = _without(self._excused(rows, found), rows[unlike])
        differs = unlike | np.isin(rows, excused.row)
        return self._outcome("P1", rows, found, differs, excused)

    def as_it_happened_and_no_skew(self) -> tuple[Outcome, Outcome]:
        """P2 and P3: every decision."""
        state = self._state
        asked = state.asked
        everyone = np.arange(len(asked))
        batch = self._kernel.batch()
        # Where state and batch had the same events, batch's values are those of the state.
        happened = self._unlike(everyone, batch)
        of_batch = self._excused(everyone, batch)
        skewed = happened.copy()
        skewed[of_batch.row] = True
        uncertain = self._kernel.uncertain()
        pairs: list[Evidence] = []
        told: list[tuple[Ints, Values]] = []
        certain = np.setdiff1d(everyone, uncertain)
        excused = [_without(of_batch, uncertain)]
        for seen in self._kernel.seen(uncertain):
            found = self._kernel.of(seen)
            wrong = self._unlike(seen.rows, found)
            happened[seen.rows] = wrong
            evidence = evidence_of(state, seen)
            shown = skewed[evidence.row] & ~happened[evidence.row]
            pairs.append(_picked(evidence, shown))
            excused.append(self._excused(seen.rows, found))
            bad = np.flatnonzero(wrong | np.isin(seen.rows, excused[-1].row))
            told.append((seen.rows[bad], _taken(found, bad)))
        late = np.flatnonzero(asked.status == Status.LATE)
        pairs.append(self._lateness(late, happened))
        happened[self._groundless()] = True
        pairs.append(_without(of_batch, np.flatnonzero(happened)))
        why = _without(_joined(excused), np.flatnonzero(happened | ~asked.usable))
        troubled = certain[happened[certain] | np.isin(certain, why.row)]
        told.append((troubled, _taken(batch, troubled)))
        return (
            self._as_happened(happened, why, told),
            self._outcome("P3", everyone, batch, skewed, _joined(pairs)),
        )

    def _groundless(self) -> Bools:
        """Rows with a status that nobody knows, or that call known features incomplete."""
        status = self._state.asked.status
        unknown = np.zeros(len(status), np.bool_)
        for excuse in self._state.excuses.values():
            unknown |= excuse == code_of(Reason.INCOMPLETE)
        result: Bools = (status == -1) | ((status == Status.INCOMPLETE) & ~unknown)
        return result

    def _excused(self, rows: Ints, found: Values) -> Evidence:
        """Rows that differ in features that they are not held to, with the reasons."""
        taken = pa.array(rows)
        parts = []
        for name, excuse in self._state.excuses.items():
            some = excuse[rows] != 0
            some &= ~same(self._emitted[name].take(taken), found.columns[name])
            parts.append(Evidence(rows[some], np.full(int(some.sum()), -1), excuse[rows[some]]))
        return _joined(parts)

    def _unlike(self, rows: Ints, found: Values) -> Bools:
        """Which rows were emitted with other bits than they are held to, or another status."""
        status, excuses = self._state.asked.status[rows], self._state.excuses
        unlike = np.zeros(len(rows), np.bool_)
        taken = pa.array(rows)
        for name, expected in found.columns.items():
            differs = ~same(self._emitted[name].take(taken), expected)
            unlike |= differs & (excuses[name][rows] == 0) if name in excuses else differs
        overflow = status == Status.OVERFLOW
        unlike |= (overflow != found.overflow) & ~self._state.lost[rows]
        return unlike

    def _lateness(self, late: Ints, happened: Bools) -> Evidence:
        """Rows that tell no values since their event came too late: is that so?"""
        state = self._state
        newest = self._kernel.newest_event(late)
        silent = np.ones(len(late), np.bool_)
        for column in self._emitted.values():
            silent &= pc.is_null(column.take(pa.array(late))).to_numpy()
        true = silent & (newest >= 0)
        if len(late) and len(state.events):
            clock_ms = state.events.time_ms[newest]
            lateness_ms = state.asked.lateness_ms[late]
            too_late = state.asked.time_ms[late] < clock_ms - lateness_ms
            held_ms = _held_ms(state.view)
            if held_ms is not None:
                # Once nobody's window reaches a state's events, time alone empties it.
                too_late |= clock_ms + held_ms + lateness_ms < state.newest_ms
            true &= too_late
        # Where events are not there, one of them may have been the newest.
        happened[late] = ~(true | (silent & state.lost[late]))
        return Evidence(
            late[true], newest[true], np.full(int(true.sum()), code_of(Reason.LATE), np.int64)
        )

    def _as_happened(
        self, wrong: Bools, excused: Evidence, told: list[tuple[Ints, Values]]
    ) -> Outcome:
        rows = np.flatnonzero(self._state.asked.usable)
        troubled = wrong.copy()
        troubled[excused.row] = True
        differences: list[Differences] = []
        for some, found in told:
            inside = np.flatnonzero((troubled & self._state.asked.usable)[some])
            taken = _taken(found, inside)
            differences.extend(self._differences(some[inside], taken, excused))
        some = rows[troubled[rows]]
        reasons = _counted(_least(some, excused))
        equal = len(rows) - len(some)
        return Outcome("P2", self._state, len(rows), equal, reasons, tuple(differences))

    def _outcome(
        self, promise: str, rows: Ints, found: Values, unlike: Bools, evidence: Evidence | None
    ) -> Outcome:
        some = np.flatnonzero(unlike)
        reasons = _counted(_least(rows[some], evidence))
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
                of_rows = _picked(of_rows, of_rows.event >= 0)
                late = of_rows.reason == code_of(Reason.LATE)
                shown = _joined([_picked(of_rows, late), of_rows.inside(self._state, feature)])
                # Where a sum is outside int64 a row has no features at all.
                reason = _least(some, shown)
                reason = np.where(reason == 0, _least(some, of_rows), reason)
            excuse = self._state.excuses.get(feature.name)
            if excuse is not None:
                reason = np.where(excuse[some] > 0, excuse[some], reason)
            taken = pa.array(unlike)
            yield Differences(
                feature.name,
                some,
                emitted.take(taken),
                found.columns[feature.name].take(taken),
                reason,
                shown,
            )


def _counted(reason: Ints) -> Counter[Reason]:
    """How many rows have which reason."""
    counts = np.bincount(reason, minlength=len(REASONS)).tolist()
    return Counter({REASONS[code]: count for code, count in enumerate(counts) if count})


def _without(evidence: Evidence, rows: Ints) -> Evidence:
    return _picked(evidence, ~np.isin(evidence.row, rows))


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


def _held_ms(view: FeatureView) -> int | None:
    """How long after its newest event a view's state is held at most; None is for ever."""
    longest = 0
    for feature in view.features:
        window = feature.window
        if isinstance(window, Session):
            held_ms: int | None = window.gap_ms + window.delay_ms + 1
        else:
            held_ms = lookback_ms(window)
        if held_ms is None:
            return None
        longest = max(longest, held_ms)
    return longest
