"""Plausible times, and the unit that an implausible one seems to be in."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace_schemas.columns import INT64_MAX, INT64_MIN
from headrace_schemas.errors import ConfigurationError
from headrace_schemas.event_times import PLAUSIBLE, TimeRange, TimeUnit, time_problem
from headrace_schemas.reasons import Reason

NOON_S = int(datetime(2024, 5, 17, 12, tzinfo=UTC).timestamp())
PER_SECOND = {
    TimeUnit.SECONDS: 1,
    TimeUnit.MICROSECONDS: 10**6,
    TimeUnit.NANOSECONDS: 10**9,
}


def test_the_plausible_times_are_those_of_the_years_2000_to_2099() -> None:
    first = int(datetime(2000, 1, 1, tzinfo=UTC).timestamp()) * 1000
    after = int(datetime(2100, 1, 1, tzinfo=UTC).timestamp()) * 1000
    assert (PLAUSIBLE.earliest_ms, PLAUSIBLE.latest_ms) == (first, after)
    assert time_problem(first) is None
    assert time_problem(after - 1) is None
    for outside in (first - 1, after):
        problem = time_problem(outside)
        assert problem is not None
        assert problem.reason is Reason.EVENT_TIME_OUT_OF_RANGE


@pytest.mark.parametrize("unit", TimeUnit)
def test_a_time_in_another_unit_is_recognised_and_named(unit: TimeUnit) -> None:
    problem = time_problem(NOON_S * PER_SECOND[unit])
    assert problem is not None
    assert problem.reason is Reason.EVENT_TIME_WRONG_UNIT
    assert f"looks like {unit}" in problem.message


@given(st.datetimes(datetime(2000, 1, 1), datetime(2099, 12, 31)), st.sampled_from(TimeUnit))  # noqa: DTZ001
def test_every_plausible_moment_is_recognised_in_every_unit(
    moment: datetime, unit: TimeUnit
) -> None:
    seconds = int(moment.replace(tzinfo=UTC).timestamp())
    assert time_problem(seconds * 1000) is None
    problem = time_problem(seconds * PER_SECOND[unit])
    assert problem is not None
    assert problem.message.startswith(f"{seconds * PER_SECOND[unit]} looks like {unit},")


@pytest.mark.parametrize("value", [0, -1, 17, INT64_MIN, INT64_MAX])
def test_a_time_that_is_plausible_in_no_unit_is_refused_with_the_range(value: int) -> None:
    problem = time_problem(value)
    assert problem is not None
    assert problem.reason is Reason.EVENT_TIME_OUT_OF_RANGE
    assert "from 2000-01-01 to before 2100-01-01" in problem.message


def test_a_range_of_ones_own_is_used_and_spelled() -> None:
    narrow = TimeRange(earliest_ms=0, latest_ms=1_500)
    assert time_problem(1_499, narrow) is None
    problem = time_problem(1_500_000_000_001, narrow)
    assert problem is not None
    assert "from 1970-01-01 to before 1970-01-01T00:00:01.500" in problem.message


def test_bounds_in_another_unit_round_up_and_stay_within_int64() -> None:
    assert TimeRange(earliest_ms=1, latest_ms=1_001).in_unit(TimeUnit.SECONDS) == (1, 2)
    assert TimeRange(earliest_ms=-1_001, latest_ms=1).in_unit(TimeUnit.SECONDS) == (-1, 1)
    widest = TimeRange(earliest_ms=-62_135_596_800_000, latest_ms=253_402_300_799_999)
    assert widest.in_unit(TimeUnit.NANOSECONDS) == (INT64_MIN, INT64_MAX)


@pytest.mark.parametrize(("earliest", "latest"), [(5, 5), (6, 5), (0, 10**16), (-(10**16), 0)])
def test_a_range_that_is_none_is_refused(earliest: int, latest: int) -> None:
    with pytest.raises(ConfigurationError, match="is no range of times"):
        TimeRange(earliest_ms=earliest, latest_ms=latest)
