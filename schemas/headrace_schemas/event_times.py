"""Whether a time in milliseconds is plausible, and which unit it seems to be in when it is not."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from enum import StrEnum
from fractions import Fraction
from math import ceil

import msgspec

from headrace_schemas.columns import INT64_MAX, INT64_MIN
from headrace_schemas.errors import ConfigurationError
from headrace_schemas.reasons import Reason

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_FIRST_MS = -62_135_596_800_000  # 0001-01-01, the first day that a datetime can say
_LAST_MS = 253_402_300_799_999  # the last millisecond of 9999


class TimeUnit(StrEnum):
    """A unit that times are given in by mistake."""

    SECONDS = "seconds"
    MICROSECONDS = "microseconds"
    NANOSECONDS = "nanoseconds"


_PER_MS = {
    TimeUnit.SECONDS: Fraction(1, 1000),
    TimeUnit.MICROSECONDS: Fraction(1000),
    TimeUnit.NANOSECONDS: Fraction(1_000_000),
}


class TimeRange(msgspec.Struct, frozen=True):
    """The times from `earliest_ms` (included) to `latest_ms` (excluded), milliseconds UTC."""

    earliest_ms: int
    latest_ms: int

    def __post_init__(self) -> None:
        if not _FIRST_MS <= self.earliest_ms < self.latest_ms <= _LAST_MS:
            raise ConfigurationError(
                f"{self.earliest_ms} to {self.latest_ms} is no range of times in milliseconds",
                hint="the earliest must be below the latest, both within the years 1 to 9999",
            )

    def in_unit(self, unit: TimeUnit) -> tuple[int, int]:
        """The same range counted in `unit`: first value in it, first value after it.

        Both are kept within int64, so that they can be compared with an array of it.
        """
        factor = _PER_MS[unit]
        first, after = ceil(self.earliest_ms * factor), ceil(self.latest_ms * factor)
        return max(first, INT64_MIN), min(after, INT64_MAX)


PLAUSIBLE = TimeRange(earliest_ms=946_684_800_000, latest_ms=4_102_444_800_000)
"""From 2000-01-01 to 2100-01-01: what a time has to lie in unless a caller says otherwise."""

MOST_AHEAD_MS = 300_000
"""How far an event may be ahead of the time at which its record was sent, ms."""


class TimeProblem(msgspec.Struct, frozen=True):
    """Why a time is refused, as a code and in words."""

    reason: Reason
    message: str


def time_problem(value: int, plausible: TimeRange = PLAUSIBLE) -> TimeProblem | None:
    """What is wrong with `value` as a time in milliseconds UTC; None when it is plausible."""
    if plausible.earliest_ms <= value < plausible.latest_ms:
        return None
    for unit in TimeUnit:
        first, after = plausible.in_unit(unit)
        if first <= value < after:
            return TimeProblem(
                Reason.EVENT_TIME_WRONG_UNIT,
                f"{value} looks like {unit}, expected milliseconds since 1970-01-01 UTC",
            )
    return TimeProblem(
        Reason.EVENT_TIME_OUT_OF_RANGE,
        f"{value} is no time in milliseconds from {_date(plausible.earliest_ms)}"
        f" to before {_date(plausible.latest_ms)}",
    )


def _date(time_ms: int) -> str:
    moment = _EPOCH + timedelta(milliseconds=time_ms)
    text = moment.isoformat(timespec="milliseconds").removesuffix("+00:00")
    return text.removesuffix("T00:00:00.000")
