"""Spans of windows against their definitions as sets of event times, before 1970 too."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headrace_features import Sliding, Tumbling, Unbounded
from headrace_features.definitions.durations import DAY_MS
from headrace_features.definitions.windows import lookback_ms

Inside = Callable[[int, int], bool]


def floor(step: int, time: int) -> int:
    """The greatest multiple of a step that is not above a time, found by counting down."""
    while time % step:
        time -= 1
    return time


# A window, and whether an event at `ts` is inside it at `t`, as it is defined.
DEFINED: dict[str, tuple[Sliding | Tumbling | Unbounded, Inside]] = {
    "sliding": (Sliding("60ms"), lambda ts, t: t - 60 < ts <= t),
    "sliding, least": (Sliding("1ms"), lambda ts, t: ts == t),
    "sliding, hop": (
        Sliding("60ms", hop="20ms"),
        lambda ts, t: floor(20, t - 60 + 1) <= ts <= t,
    ),
    "sliding, hop as long as the window": (
        Sliding("50ms", hop="50ms"),
        lambda ts, t: floor(50, t - 50 + 1) <= ts <= t,
    ),
    "sliding, delay": (
        Sliding("60ms", delay="35ms"),
        lambda ts, t: (t - 35) - 60 < ts <= t - 35,
    ),
    "sliding, hop and delay": (
        Sliding("60ms", hop="20ms", delay="35ms"),
        lambda ts, t: floor(20, (t - 35) - 60 + 1) <= ts < floor(20, (t - 35) + 1),
    ),
    "sliding, delay of one": (
        Sliding("40ms", hop="8ms", delay="1ms"),
        lambda ts, t: floor(8, (t - 1) - 40 + 1) <= ts < floor(8, (t - 1) + 1),
    ),
    "tumbling": (Tumbling("60ms"), lambda ts, t: floor(60, t) <= ts <= t),
    "tumbling, odd": (Tumbling("7ms"), lambda ts, t: floor(7, t) <= ts <= t),
    "tumbling, delay": (
        Tumbling("60ms", delay="35ms"),
        lambda ts, t: floor(60, t - 35) <= ts <= t - 35,
    ),
    "unbounded": (Unbounded(), lambda ts, t: ts <= t),
    "unbounded, delay": (Unbounded(delay="35ms"), lambda ts, t: ts <= t - 35),
}


@pytest.mark.parametrize("name", DEFINED)
@given(time_ms=st.one_of(st.integers(-300, 300), st.integers(-(2**45), 2**45)))
@settings(deadline=None)
def test_a_span_holds_just_the_event_times_of_the_definition(name: str, time_ms: int) -> None:
    window, inside = DEFINED[name]
    first_ms, last_ms = window.span(time_ms)
    found = {ts for ts in range(time_ms - 130, time_ms + 5) if first_ms <= ts <= last_ms}
    assert found == {ts for ts in range(time_ms - 130, time_ms + 5) if inside(ts, time_ms)}


@pytest.mark.parametrize("name", [name for name in DEFINED if "unbounded" not in name])
@given(time_ms=st.integers(-(2**45), 2**45))
@settings(deadline=None)
def test_a_span_begins_within_the_window_s_lookback(name: str, time_ms: int) -> None:
    window, _ = DEFINED[name]
    reach_ms = lookback_ms(window)
    assert reach_ms is not None
    assert time_ms - reach_ms < window.span(time_ms)[0] <= time_ms


@given(
    size=st.sampled_from(["1h", "1d", "7d"]),
    hop=st.sampled_from(["1m", "5m", "1h"]),
    delay=st.sampled_from(["0ms", "1ms", "90m", "7d"]),
    time_ms=st.integers(-(2**45), 2**45),
)
@settings(deadline=None)
def test_a_hop_only_adds_less_than_one_hop_of_older_events(
    size: str, hop: str, delay: str, time_ms: int
) -> None:
    exact, coarse = Sliding(size, delay=delay), Sliding(size, hop=hop, delay=delay)
    (exact_first, exact_last), (first, last) = exact.span(time_ms), coarse.span(time_ms)
    assert first % coarse.hop_ms == 0
    assert 0 <= exact_first - first < coarse.hop_ms
    # Without a delay the new edge is exact; with one it is whole hops too.
    assert 0 <= exact_last - last < (coarse.hop_ms if coarse.delay_ms else 1)


@given(
    window=st.sampled_from([window for window, _ in DEFINED.values()]),
    time_ms=st.integers(-(2**45), 2**45),
    later_ms=st.integers(0, 200),
)
@settings(deadline=None)
def test_as_time_goes_on_both_edges_of_a_span_only_go_on(
    window: Sliding | Tumbling | Unbounded, time_ms: int, later_ms: int
) -> None:
    before, after = window.span(time_ms), window.span(time_ms + later_ms)
    assert before[0] <= after[0]
    assert before[1] <= after[1]


@pytest.mark.parametrize("hop", ["1ms", "5m", "1h", "8h", "1d", "2d", "7d"])
def test_a_hop_divides_one_day_or_is_a_multiple_of_it(hop: str) -> None:
    window = Sliding("14d", hop=hop)
    first_ms, last_ms = window.span(20 * DAY_MS)
    assert (first_ms % window.hop_ms, last_ms) == (0, 20 * DAY_MS)


def test_a_day_before_1970_begins_at_midnight_utc() -> None:
    noon_ms = -DAY_MS // 2
    assert Tumbling("1d").span(noon_ms) == (-DAY_MS, noon_ms)
    assert Sliding("1d", hop="1d").span(noon_ms) == (-2 * DAY_MS, noon_ms)
