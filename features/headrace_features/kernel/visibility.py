"""From a window to the intervals of rows that see each event."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from headrace_features.definitions.windows import Session, Sliding, Tumbling, Unbounded, Window
from headrace_features.kernel.frames import (
    NEVER_MS,
    Frame,
    Visibility,
    end_of_hop,
    excluded,
    without,
)
from headrace_features.kernel.sessions import session_visibility
from headrace_features.kernel.sorting import is_sorted

if TYPE_CHECKING:
    from headrace_features.kernel.arrays import Ints


def visibility(frame: Frame, window: Window, *, exclude_current: bool) -> Visibility:
    """The intervals of a window over a frame."""
    if isinstance(window, Session):
        return session_visibility(frame, window, exclude_current=exclude_current)
    # The new edge moves by hops only where a delay makes it coarse.
    hop_ms = window.hop_ms if isinstance(window, Sliding) and window.delay_ms else 1
    enter_ms, start = frame.entering(window.delay_ms, hop_ms)
    leave_ms = _leave_ms(frame.event_ms, window)
    stop = frame.first_row_at(np.maximum(enter_ms, leave_ms))
    event = np.arange(frame.events)
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
