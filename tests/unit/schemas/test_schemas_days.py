"""Days that are given on the command line."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone

import pytest

from headrace_schemas.days import newest_ended_day, parse_begun_day, parse_day, parse_ended_day
from headrace_schemas.errors import ConfigurationError

NOW = datetime(2026, 11, 26, 23, 59, tzinfo=UTC)


def test_a_day_that_has_begun_may_be_made() -> None:
    assert parse_begun_day("2026-11-26", "--date", NOW) == date(2026, 11, 26)
    assert parse_begun_day("2018-04-10", "--date", NOW) == date(2018, 4, 10)


@pytest.mark.parametrize("text", ["2026-11-27", "2030-01-01", "9999-12-31"])
def test_a_day_of_the_future_is_refused_with_the_last_that_will_do(text: str) -> None:
    with pytest.raises(ConfigurationError) as refused:
        parse_begun_day(text, "--date", NOW)
    assert str(refused.value) == (
        f"--date: {text} has not begun (the last that will do is 2026-11-26, UTC)"
    )
    with pytest.raises(ConfigurationError) as refused:
        parse_ended_day(text, "--date", NOW)
    assert str(refused.value) == (
        f"--date: {text} has not begun (the last that will do is 2026-11-25, UTC)"
    )


def test_a_day_before_all_events_is_refused_with_the_days_that_will_do() -> None:
    def told(refused: pytest.ExceptionInfo[ConfigurationError]) -> str:
        return str(refused.value).removeprefix("--date: 1950-01-01 is not from 2000-01-01 to ")

    with pytest.raises(ConfigurationError) as refused:
        parse_day("1950-01-01", "--date")
    assert told(refused) == "2099-12-31, where events can be"
    with pytest.raises(ConfigurationError) as refused:
        parse_begun_day("1950-01-01", "--date", NOW)
    assert told(refused) == "2026-11-26, where events can be"
    with pytest.raises(ConfigurationError) as refused:
        parse_ended_day("1950-01-01", "--date", NOW)
    assert told(refused) == "2026-11-25, where events can be"


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
        " 2026-11-25, UTC)"
    )
