"""Why a value that the stream emitted is another than batch has, and which events show it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from headrace_features.definitions.windows import Session
from headrace_orchestration.parity.sequences import NEVER

if TYPE_CHECKING:
    from headrace_features.definitions.views import Feature
    from headrace_features.kernel.arrays import Ints
    from headrace_orchestration.parity.states import ViewState
    from headrace_orchestration.parity.values import Seen


class Reason(StrEnum):
    """Why two values differ. Where there are several, the first of these that holds is told."""

    #: Nothing in the topics explains it.
    UNEXPLAINED = "unexplained"
    #: The event itself came so late that its view answers nothing.
    LATE = "late"
    #: The decision was made before the feature was declared.
    NOT_DECLARED = "not declared yet"
    #: The feature was added to a job that had not seen all of its window.
    INCOMPLETE = "incomplete"
    #: The window may reach events that the broker has deleted since.
    DELETED = "no longer comparable"
    #: The window may reach events of the lake with which the job began.
    HISTORY = "begun with the lake"
    #: An event was refused: its part of the state was no longer held.
    TOO_OLD = "too old"
    #: An event was refused: the entity had as many single events as it may.
    STATE_FULL = "state full"
    #: The stream counts another record of a dedup key than batch does, or a second one.
    DUPLICATE = "duplicate"
    #: An event that is late by the ledger was taken in after the decision.
    LATE_EVENT = "late event"
    #: In ordered mode: an event came when the watermark had passed it.
    BEHIND_WATERMARK = "behind the watermark"
    #: An event of the same instant came after the decision.
    TIE = "tie"
    #: A label became known in the instant of the event and was read after the decision.
    SAME_INSTANT = "label of the same instant"
    #: A label was known already and was read after the decision.
    LABEL_NOT_THERE = "label not there yet"
    #: An event that happened before was read after the decision.
    OUT_OF_ORDER = "out of order"


REASONS = tuple(Reason)
_CODE = {reason: code for code, reason in enumerate(REASONS)}
_LEDGERED = {
    "too_old": _CODE[Reason.TOO_OLD],
    "state_full": _CODE[Reason.STATE_FULL],
    "duplicate": _CODE[Reason.DUPLICATE],
}


def code_of(reason: Reason) -> int:
    """The number of a reason; of several the least is told."""
    return _CODE[reason]


@dataclass(frozen=True)
class Evidence:
    """Events that only one of state and batch has, for some rows.

    Attributes:
        row: of each pair the row.
        event: of each pair the event; -1 where no event shows it.
        reason: of each pair the number of the reason.
    """

    row: Ints
    event: Ints
    reason: Ints

    def inside(self, state: ViewState, feature: Feature) -> Evidence:
        """The pairs whose event is in the window of a feature at the time of the row."""
        window = feature.window
        time_ms, event_ms = state.asked.time_ms[self.row], state.events.time_ms[self.event]
        if isinstance(window, Session):
            # One event may join or part a chain of any length.
            some = event_ms <= time_ms - window.delay_ms
        else:
            # The formula holds for all rows at once.
            first_ms, last_ms = cast("Any", window).span(time_ms)
            some = (event_ms >= first_ms) & (event_ms <= last_ms)
        return Evidence(self.row[some], self.event[some], self.reason[some])


def evidence_of(state: ViewState, seen: Seen) -> Evidence:
    """Why each of the events that only one of state and batch has is in only one of them."""
    events = state.events
    row, event = seen.rows[seen.row[seen.differs]], seen.event[seen.differs]
    same_instant = events.available_ms[event] == state.asked.time_ms[row]
    later = Reason.OUT_OF_ORDER if state.own else Reason.LABEL_NOT_THERE
    tied = Reason.TIE if state.own else Reason.SAME_INSTANT
    reason = np.where(same_instant, _CODE[tied], _CODE[later])
    reason[events.late[event]] = _CODE[Reason.LATE_EVENT]
    if state.ordered:
        reason[:] = _CODE[Reason.BEHIND_WATERMARK]
    reason[~events.batch[event]] = _CODE[Reason.DUPLICATE]
    for place in np.flatnonzero(events.place[event] == NEVER).tolist():
        told = events.refused[event[place]] if events.refused else ""
        # What was not taken in, and no ledger knows why, explains nothing.
        reason[place] = _LEDGERED.get(told, _CODE[Reason.UNEXPLAINED])
    return Evidence(row, event, reason)
