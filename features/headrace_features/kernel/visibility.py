"""From a window to who sees what: the events that a row sees, or the rows that see an event."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import numpy as np

from headrace_features.definitions.windows import Session, Sliding, Tumbling, Unbounded, Window
from headrace_features.kernel.frames import (
    NEVER_MS,
    Frame,
    Run,
    Visibility,
    end_of_hop,
    excluded,
    without,
)
from headrace_features.kernel.sessions import session_visibility
from headrace_features.kernel.sorting import is_sorted

if TYPE_CHECKING:
    from headrace_features.kernel.arrays import Ints


def sees_runs(frame: Frame, window: Window, *, exclude_current: bool) -> bool:
    """Whether each row sees a run of successive events: all are prompt and none is left out."""
    return frame.available_ms is None and not exclude_current and not isinstance(window, Session)


def run(frame: Frame, window: Sliding | Tumbling | Unbounded) -> Run:
    """The run of events that each row of a frame sees."""
    # The formulas are those of the definitions, for all rows at once.
    first_ms, last_ms = cast("Any", window).span(frame.row_ms)
    left = frame.first_event_at(np.broadcast_to(first_ms, frame.rows))
    return Run(entered=frame.first_event_at(last_ms + 1), left=left)


def visibility(frame: Frame, window: Window, *, exclude_current: bool) -> Visibility:
    """The intervals of a window over a frame."""
    if isinstance(window, Session):
        return session_visibility(frame, window, exclude_current=exclude_current)
    # The new edge moves by hops only where a delay makes it coarse.
    hop_ms = window.hop_ms if isinstance(window, Sliding) and window.delay_ms else 1
    enter_ms, start = frame.entering(window.delay_ms, hop_ms)
    leave_ms = _leave_ms(frame.event_ms, window)
    if frame.available_ms is not None:
        # What becomes known too late is never seen.
        leave_ms = np.maximum(enter_ms, leave_ms)
    stop = frame.first_row_at(leave_ms)
    event = frame.positions
    if exclude_current:
        out_event, out_row = excluded(frame, start, stop)
        if len(out_event):
            pieces = without(event, start, stop, out_event, out_row)
            return Visibility(*pieces, frame.rows, regular=False)
    return Visibility(event, start, stop, frame.rows, is_sorted(start) and is_sorted(stop))


def _leave_ms(time_ms: Ints, window: Sliding | Tumbling | Unbounded) -> Ints:
    """The first time at which an event is no longer inside the window."""
    match window:
        case Sliding():
            return end_of_hop(time_ms, window.hop_ms) + (window.size_ms + window.delay_ms)
        case Tumbling():
            return end_of_hop(time_ms, window.size_ms) + (1 + window.delay_ms)
        case Unbounded():
            return np.full_like(time_ms, NEVER_MS)
