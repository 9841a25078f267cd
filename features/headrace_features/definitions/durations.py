"""Durations as people write them: "90s", "1h", "30d"."""

from __future__ import annotations

import re
from functools import lru_cache

from headrace_schemas.errors import ConfigurationError

UNITS_MS = {"ms": 1, "s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000, "w": 604_800_000}
DAY_MS = UNITS_MS["d"]
HOUR_MS = UNITS_MS["h"]
MINUTE_MS = UNITS_MS["m"]
SECOND_MS = UNITS_MS["s"]

# Ten thousand years: beyond any window, and far enough from the edge of int64 that
# adding a duration to an event time can't wrap.
_LONGEST_MS = 3_652_500 * DAY_MS
_FORM = re.compile(r"(\d{1,15})(ms|s|m|h|d|w)")


@lru_cache(maxsize=1024)
def parse_duration(text: str) -> int:
    """Milliseconds of a duration such as "90s" or "30d".

    Raises:
        ConfigurationError: when the text is no duration, or one of more than 10,000 years.
    """
    match = _FORM.fullmatch(text) if isinstance(text, str) else None
    if match is None:
        msg = f"{text!r} is not a duration; write a whole number and one of {', '.join(UNITS_MS)}"
        raise ConfigurationError(msg, hint='for example "30m" or "7d"')
    duration_ms = int(match[1]) * UNITS_MS[match[2]]
    if duration_ms > _LONGEST_MS:
        msg = f"the duration {text} is longer than 10,000 years"
        raise ConfigurationError(msg)
    return duration_ms


def format_duration(duration_ms: int) -> str:
    """The shortest exact spelling of a duration, never in weeks: 604,800,000 is "7d"."""
    for unit in ("d", "h", "m", "s"):
        if duration_ms and duration_ms % UNITS_MS[unit] == 0:
            return f"{duration_ms // UNITS_MS[unit]}{unit}"
    return f"{duration_ms}ms"


def canonical(text: str) -> str:
    """The same duration in its one canonical spelling: "60m" is "1h"."""
    return format_duration(parse_duration(text))


def floor_to(time_ms: int, step_ms: int) -> int:
    """The greatest multiple of `step_ms` at or before a time, before 1970 too.

    The kernel gives it whole arrays of times, for which a division that changes nothing is slow.
    """
    return time_ms if step_ms == 1 else time_ms - time_ms % step_ms
