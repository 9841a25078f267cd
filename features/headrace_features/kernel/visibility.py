"""From a window to the intervals of rows that see each event."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from headrace_features.definitions.windows import Session, Sliding, Tumbling, Unbounded, Window
from headrace_features.kernel.frames import NEVER_MS, Frame, Visibility, excluded, without
from headrace_features.kernel.sessions import session_visibility
from headrace_features.kernel.sorting import is_sorted

if TYPE_CHECKING:
    from headrace_features.kernel.arrays import Ints


def visibility(frame: Frame, window: Window, *, exclude_current: bool) -> Visibility:
    """The intervals of a window over a frame."""
    if isinstance(window, Session):
        return session_visibility(frame, window, exclude_current=exclude_current)
    enter_ms, leave_ms = _edges(frame.event_ms, window)
    if frame.available_ms is not None:
        enter_ms = np.maximum(enter_ms, frame.available_ms)
    start = frame.first_row_at(frame.event_entity, enter_ms)
    stop = frame.first_row_at(frame.event_entity, np.maximum(enter_ms, leave_ms))
    event = np.arange(frame.events)
    if exclude_current:
        out_event, out_row = excluded(frame, start, stop)
        if len(out_event):
            pieces = without(event, start, stop, out_event, out_row)
            return Visibility(*pieces, frame.rows, regular=False)
    return Visibility(event, start, stop, frame.rows, is_sorted(start) and is_sorted(stop))


def _edges(time_ms: Ints, window: Sliding | Tumbling | Unbounded) -> tuple[Ints, Ints]:
    """The first time at which an event is inside the window, and the first at which it is out."""
    delay_ms = window.delay_ms
    match window:
        case Sliding():
            hop_ms = window.hop_ms
            next_hop = time_ms - time_ms % hop_ms + hop_ms
            enter = next_hop - 1 + delay_ms if delay_ms else time_ms
            return enter, next_hop - 1 + window.size_ms + delay_ms
        case Tumbling():
            next_window = time_ms - time_ms % window.size_ms + window.size_ms
            return time_ms + delay_ms, next_window + delay_ms
        case Unbounded():
            return time_ms + delay_ms, np.full_like(time_ms, NEVER_MS)
