"""The oracle against values worked out by hand: it is the measure of every engine."""

from __future__ import annotations

import math
from typing import Any

import pytest

from headrace_features import (
    ApproxDistinct,
    Count,
    Distinct,
    First,
    Last,
    Max,
    Mean,
    Min,
    Quantile,
    Session,
    Sliding,
    StdDev,
    Sum,
    Tumbling,
    Unbounded,
    Variance,
    oracle,
    struct,
)
from headrace_features.oracle import Row, SpineRow
from histories import LATE, PROMPT, bits, reading, view_with

EVENTS = [
    reading("e1", 0, amount=4, price=0.5, place="DE", flag=True),
    reading("e2", 10, amount=None, price=None, place="", flag=None),
    reading("e3", 20, amount=-1, price=-0.0, place="FR", flag=False),
    reading("e4", 20, amount=9, price=0.0, place="DE", flag=True),
    reading("other", 20, sensor="b", amount=1_000),
]


def value(aggregate: Any, time_ms: int, current: str | None = None, events: Any = EVENTS) -> Any:
    """The one feature of sensor "a" at a time."""
    (row,) = oracle.values(view_with(aggregate), events, [SpineRow("a", time_ms, current)])
    (found,) = row.values()
    return found


BY_HAND: tuple[tuple[Any, Any, Any], ...] = (
    # An aggregate, its value over all of the events, and over none.
    (Count(), 4, 0),
    (Sum("amount"), 12, 0),
    (Sum("price"), 0.5, 0.0),
    (Sum("flag"), 2, 0),
    (Mean("amount"), 4.0, None),
    (Mean("flag"), 2 / 3, None),
    (Mean("amount", default=-1), 4.0, -1.0),
    (Min("amount"), -1, None),
    (Min("price"), -0.0, None),
    (Max("price"), 0.5, None),
    (Max("amount", default=0), 9, 0),
    (Variance("amount"), 25.0, None),
    (StdDev("amount"), 5.0, None),
    (Variance("amount", default=0.5), 25.0, 0.5),
    (First("place"), "DE", None),
    (Last("place", default="nowhere"), "DE", "nowhere"),
    (Distinct("place"), 3, 0),
    (Distinct("flag"), 2, 0),
    (ApproxDistinct("place"), 3.0, 0.0),
    (Quantile("amount"), 4, None),
    (Quantile("amount", q=0.01), -1, None),
    (Quantile("amount", q=0.67), 9, None),
    (Quantile("amount", q=1, default=7), 9, 7),
)


@pytest.mark.parametrize(("aggregate", "full", "empty"), BY_HAND, ids=lambda value: str(value)[:50])
def test_an_aggregate_skips_nulls_and_has_its_own_value_of_nothing(
    aggregate: Any, full: Any, empty: Any
) -> None:
    assert bits(value(aggregate, 20)) == bits(full)
    assert bits(value(aggregate, -1)) == bits(empty)
    assert bits(value(aggregate, 20, events=[])) == bits(empty)


def test_an_aggregate_of_nulls_alone_is_that_of_nothing_but_they_count_as_rows() -> None:
    nulls = [reading("n1", 0), reading("n2", 1)]
    assert value(Count(), 5, events=nulls) == 2
    assert value(Sum("amount"), 5, events=nulls) == 0
    assert value(Distinct("place"), 5, events=nulls) == 0
    for aggregate in (
        Mean("amount", default=3),
        Max("amount", default=3),
        Quantile("amount", default=3),
    ):
        assert value(aggregate, 5, events=nulls) == 3


def test_first_and_last_return_the_row_s_value_even_if_it_is_null() -> None:
    assert value(Last("amount", default=7), 15) is None
    assert value(First("amount", windows=[Sliding("15ms")], default=7), 20) is None
    # The default is for where there is no row.
    assert value(Last("amount", windows=[Sliding("5ms")], default=7), 15) == 7


def test_of_events_at_one_time_the_bytes_of_the_dedup_key_decide_first_and_last() -> None:
    tied = [
        reading(key, 5, place=key)
        for key in ("b", "a", "B", "ä", "\uff5e", "\U0001f600", "a ", "aa")
    ]
    assert value(First("place"), 5, events=tied) == "B"
    # As UTF-8 this is the greatest; as UTF-16 it would not be.
    assert value(Last("place"), 5, events=tied) == "\U0001f600"


def test_a_struct_takes_all_its_columns_from_one_row() -> None:
    (row,) = oracle.values(
        view_with(Last(struct("amount", "price", "place"))), EVENTS, [SpineRow("a", 19)]
    )
    assert row == {"amount_last": None, "price_last": None, "place_last": ""}


def test_events_at_the_time_asked_for_are_all_included() -> None:
    assert [value(Count(), time_ms) for time_ms in (-1, 0, 9, 10, 19, 20)] == [0, 1, 1, 2, 2, 4]


def test_the_old_edge_of_a_sliding_window_is_outside() -> None:
    window = [Sliding("10ms")]
    assert [value(Count(windows=window), t) for t in (9, 10, 19, 20, 29, 30)] == [1, 1, 1, 2, 2, 0]


def test_a_tumbling_window_starts_anew() -> None:
    window = [Tumbling("20ms")]
    assert [value(Count(windows=window), t) for t in (0, 19, 20, 39, 40)] == [1, 2, 2, 2, 0]


def test_a_delayed_window_ends_in_the_past() -> None:
    window = [Unbounded(delay="10ms")]
    assert [value(Count(windows=window), t) for t in (9, 10, 20, 29, 30)] == [0, 1, 2, 2, 4]


def test_the_event_being_decided_is_left_out_where_that_is_asked_for() -> None:
    assert value(Count(), 20, "e4") == 4
    assert value(Count(exclude_current=True), 20, "e4") == 3
    assert value(Last("amount", exclude_current=True), 20, "e4") == -1
    # A row that decides nothing, something unknown or another sensor's event leaves nothing out.
    for current in (None, "unknown", "other"):
        assert value(Count(exclude_current=True), 20, current) == 4


def session(times_ms: list[int], time_ms: int, gap: str = "5ms") -> int:
    """How many events at some times are in the session at another."""
    events = [reading(f"e{number}", at) for number, at in enumerate(times_ms)]
    found = value(Count(windows=[Session(gap)]), time_ms, events=events)
    assert isinstance(found, int)
    return found


def test_a_session_is_the_newest_chain_whose_neighbours_are_at_most_a_gap_apart() -> None:
    assert session([0, 5, 10, 16, 20], 20) == 2
    assert session([0, 5, 10, 15, 20], 20) == 5
    assert session([20, 0, 10, 5, 15], 20) == 5
    assert session([0, 5, 10, 15, 20], 14) == 3
    assert session([7, 7, 7], 7) == 3


def test_a_session_is_empty_once_more_than_a_gap_has_passed() -> None:
    assert [session([0, 3], time_ms) for time_ms in (2, 3, 8, 9)] == [1, 2, 2, 0]


def test_leaving_the_event_being_decided_out_can_cut_a_session() -> None:
    events = [reading("e0", 0), reading("e1", 4), reading("e2", 8)]
    counted = Count(windows=[Session("5ms")], exclude_current=True)
    assert value(counted, 8, None, events) == 3
    assert value(counted, 8, "e2", events) == 2
    # Without the middle one, 0 and 8 are too far apart.
    assert value(counted, 8, "e1", events) == 1


def test_of_events_with_one_dedup_key_the_first_that_arrived_counts() -> None:
    events = [
        reading("e1", 10, amount=1),
        reading("e1", 5, amount=100),
        reading("e1", 5, amount=1_000, sensor="b"),
        reading("e2", 10, amount=2),
    ]
    assert value(Sum("amount"), 20, events=events) == 3
    assert oracle.values(view_with(Count()), events, [SpineRow("b", 20)]) == [{"count": 0}]


def test_a_duplicate_of_a_filtered_event_stays_out() -> None:
    events = [reading("e1", 0, amount=1), reading("e1", 0, amount=5)]
    (row,) = oracle.values(view_with(Count(), filter="amount > 3"), events, [SpineRow("a", 0)])
    assert row == {"count": 0}


def test_a_filter_keeps_only_rows_for_which_it_is_true() -> None:
    (row,) = oracle.values(
        view_with(Count(), Sum("twice"), derived={"twice": "amount * 2"}, filter="twice < 10"),
        EVENTS,
        [SpineRow("a", 20)],
    )
    # 4 and -1 are below; 9 is not; null is neither.
    assert row == {"count": 2, "twice_sum": 6}


def test_an_event_counts_from_when_it_is_known() -> None:
    view = view_with(Count(windows=[Sliding("10ms")]), source=LATE)
    events = [reading("e1", 0, known_at=7), reading("e2", 1, known_at=50)]
    spine = [SpineRow("a", time_ms) for time_ms in (0, 6, 7, 9, 10, 50)]
    assert [row["count_10ms"] for row in oracle.values(view, events, spine)] == [0, 0, 1, 1, 0, 0]


def test_an_entity_without_events_has_the_values_of_an_empty_window() -> None:
    view = view_with(Count(), Sum("amount"), Mean("amount"), Last("place", default="nowhere"))
    assert oracle.values(view, EVENTS, [SpineRow("nobody", 20)]) == [
        {"count": 0, "amount_sum": 0, "amount_mean": None, "place_last": "nowhere"}
    ]


def test_the_mean_is_the_rounded_sum_divided_once() -> None:
    # 2**53 + 1 is no double; Python's int / int would not round it first.
    events = [reading(f"e{n}", 0, amount=amount) for n, amount in enumerate([2**53 + 1, 0, 0])]
    assert value(Mean("amount"), 0, events=events) == float(2**53) / 3.0
    assert float(2**53) / 3.0 != (2**53 + 1) / 3


def test_the_variance_of_equal_or_single_values_is_exact() -> None:
    huge: list[Row] = [reading(f"e{n}", 0, amount=10**17 + 1, price=0.1) for n in range(3)]
    assert value(Variance("amount"), 0, events=huge) == 0.0
    assert value(StdDev("price"), 0, events=huge) == 0.0
    assert value(Variance("amount"), 0, events=huge[:1]) is None


def test_the_standard_deviation_is_the_root_of_the_variance() -> None:
    variance = value(Variance("amount"), 19, events=[*EVENTS, reading("e0", 3, amount=7)])
    deviation = value(StdDev("amount"), 19, events=[*EVENTS, reading("e0", 3, amount=7)])
    assert (variance, deviation) == (4.5, math.sqrt(4.5))


def test_sources_known_at_once_and_late_agree_where_nothing_is_late() -> None:
    spine = [SpineRow("a", time_ms, "e3") for time_ms in range(-2, 40)]
    aggregates = (Count(windows=[Session("9ms"), Sliding("9ms")]), Sum("amount"), Last("place"))
    prompt = oracle.values(view_with(*aggregates, source=PROMPT), EVENTS, spine)
    assert prompt == oracle.values(view_with(*aggregates, source=LATE), EVENTS, spine)
