"""Days as they are given to a command or a script."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

from headrace_schemas.errors import ConfigurationError
from headrace_schemas.event_times import PLAUSIBLE

_DAY = timedelta(days=1)
_FIRST = datetime.fromtimestamp(PLAUSIBLE.earliest_ms // 1000, UTC).date()
_LAST = datetime.fromtimestamp(PLAUSIBLE.latest_ms // 1000 - 1, UTC).date()


def parse_day(text: str, option: str) -> date:
    """A day such as 2024-05-31.

    Raises:
        ConfigurationError: it is none; `option` says where it was given.
    """
    return _within(_written(text, option), option, _LAST)


def parse_begun_day(text: str, option: str, now: datetime) -> date:
    """A day that isn't one of the future, up to the end of which something is to be made.

    Raises:
        ConfigurationError: it is none; `option` says where it was given.
    """
    day, today = _written(text, option), now.astimezone(UTC).date()
    if day > today:
        raise _too_late(day, option, "has not begun", today)
    return _within(day, option, today)


def newest_ended_day(now: datetime) -> date:
    """The newest day that is over, in UTC."""
    return now.astimezone(UTC).date() - _DAY


def parse_ended_day(text: str, option: str, now: datetime) -> date:
    """A day that is over, so that all of its events can be there.

    Raises:
        ConfigurationError: it is none; `option` says where it was given.
    """
    day, last = _written(text, option), newest_ended_day(now)
    if day > last + _DAY:
        raise _too_late(day, option, "has not begun", last)
    if day > last:
        raise _too_late(day, option, "has not ended, it does at midnight UTC", last)
    return _within(day, option, last)


def _written(text: str, option: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        message = f"{option}: {text!r} is no day"
        raise ConfigurationError(message, hint="write it as 2024-05-31") from None


def _within(day: date, option: str, last: date) -> date:
    if not _FIRST <= day <= last:
        message = f"{option}: {day} is not from {_FIRST} to {last}, where events can be"
        raise ConfigurationError(message)
    return day


def _too_late(day: date, option: str, state: str, last: date) -> ConfigurationError:
    return ConfigurationError(
        f"{option}: {day} {state}", hint=f"the last that will do is {last}, UTC"
    )
