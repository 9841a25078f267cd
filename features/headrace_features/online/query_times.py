"""The time that a row asks for: ms UTC, a datetime or ISO text."""

from __future__ import annotations

from datetime import UTC, datetime
from numbers import Integral
from typing import TypeGuard

from headrace_schemas.errors import BadRecordError, UnsupportedError
from headrace_schemas.event_times import MOST_AHEAD_MS, time_problem
from headrace_schemas.reasons import Reason

#: Reserved keys of rows: the query time, and the dedup key of the event being decided.
AS_OF = "as_of"
CURRENT = "current_event"

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def as_of_ms(value: object, now_ms: int) -> int:
    """A query time in ms UTC from a number, a datetime or ISO text; without a zone it is UTC.

    Args:
        value: what was given.
        now_ms: the time here; the clocks of others may be some minutes ahead, as those of events.

    Raises:
        BadRecordError: it is none of these, or no plausible time.
        UnsupportedError: it lies ahead: nobody knows what will have happened by then.
    """
    time_ms = int(value) if _is_integer(value) else _moment_ms(value)
    problem = time_problem(time_ms)
    if problem is not None:
        raise BadRecordError(problem.reason, f"as_of={value!r}: {problem.message}")
    if time_ms > now_ms + MOST_AHEAD_MS:
        raise UnsupportedError(f"as_of={value!r} lies ahead", hint="leave it out for the present")
    return time_ms


def _is_integer(value: object) -> TypeGuard[Integral]:
    # Those of numpy, too.
    return isinstance(value, Integral) and not isinstance(value, bool)


def _moment_ms(value: object) -> int:
    time_ms = moment_ms(value)
    if time_ms is None:
        raise BadRecordError(
            Reason.WRONG_TYPE,
            f"as_of={value!r} is no time",
            hint="give ms since 1970 UTC, or ISO text such as 2024-05-31",
        )
    return time_ms


def moment_ms(value: object) -> int | None:
    """A datetime or ISO text in ms UTC; None for what is neither. Without a zone it is UTC."""
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value)
        except ValueError:
            return None
    return datetime_ms(value) if isinstance(value, datetime) else None


def datetime_ms(moment: datetime) -> int:
    """A moment in ms UTC; without a zone it is UTC."""
    since = (moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment) - _EPOCH
    return (since.days * 86_400 + since.seconds) * 1000 + since.microseconds // 1000
