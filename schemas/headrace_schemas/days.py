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
    try:
        day = date.fromisoformat(text)
    except ValueError:
        message = f"{option}: {text!r} is no day"
        raise ConfigurationError(message, hint="write it as 2024-05-31") from None
    if not _FIRST <= day <= _LAST:
        message = f"{option}: {text} is not from {_FIRST} to {_LAST}, where events can be"
        raise ConfigurationError(message)
    return day


def parse_begun_day(text: str, option: str, now: datetime) -> date:
    """A day that isn't one of the future, up to the end of which something is to be made.

    Raises:
        ConfigurationError: it is none; `option` says where it was given.
    """
    day = parse_day(text, option)
    if day > now.astimezone(UTC).date():
        message = f"{option}: {text} has not begun"
        raise ConfigurationError(message, hint="today, in UTC, is the last that will do")
    return day


def newest_ended_day(now: datetime) -> date:
    """The newest day that is over, in UTC."""
    return now.astimezone(UTC).date() - _DAY


def parse_ended_day(text: str, option: str, now: datetime) -> date:
    """A day that is over, so that all of its events can be there.

    Raises:
        ConfigurationError: it is none; `option` says where it was given.
    """
    day = parse_begun_day(text, option, now)
    last = newest_ended_day(now)
    if day > last:
        message = f"{option}: {text} has not ended, it does at midnight UTC"
        raise ConfigurationError(message, hint=f"the last that will do is {last}")
    return day
