"""Days that are given on the command line."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone

import pytest

from headrace_schemas.days import newest_ended_day, parse_begun_day, parse_ended_day
from headrace_schemas.errors import ConfigurationError

NOW = datetime(2026, 11, 26, 23, 59, tzinfo=UTC)


def test_a_day_that_has_begun_may_be_made() -> None:
    assert parse_begun_day("2026-11-26", "--date", NOW) == date(2026, 11, 26)
    assert parse_begun_day("2018-04-10", "--date", NOW) == date(2018, 4, 10)


@pytest.mark.parametrize("text", ["2026-11-27", "2030-01-01"])
def test_a_day_of_the_future_is_refused(text: str) -> None:
    with pytest.raises(ConfigurationError, match=f"--date: {text} has not begun"):
        parse_begun_day(text, "--date", NOW)


def test_the_newest_day_that_is_over_is_yesterday_in_utc() -> None:
    assert newest_ended_day(NOW) == date(2026, 11, 25)
    west = timezone(timedelta(hours=-5))
    assert newest_ended_day(NOW.astimezone(west)) == date(2026, 11, 25)


def test_a_day_that_is_over_is_one_before_today() -> None:
    assert parse_ended_day("2026-11-25", "--date", NOW) == date(2026, 11, 25)


def test_a_day_that_has_not_ended_is_refused_with_the_last_that_has() -> None:
    with pytest.raises(ConfigurationError) as refused:
        parse_ended_day("2026-11-26", "--date", NOW)
    assert str(refused.value) == (
        "--date: 2026-11-26 has not ended, it does at midnight UTC (the last that will do is"
        " 2026-11-25)"
    )
    with pytest.raises(ConfigurationError, match="has not begun"):
        parse_ended_day("2026-11-27", "--date", NOW)
