"""The state of an entity: what is kept for a boundary, and values that are right when read."""

from __future__ import annotations

from collections.abc import Sequence
from unittest import mock

import pytest

from headrace_features import (
    Count,
    EventSource,
    Last,
    Session,
    Sliding,
    Sum,
    Tumbling,
    Unbounded,
    oracle,
)
from headrace_features.definitions.durations import DAY_MS, HOUR_MS
from headrace_features.definitions.views import FeatureView
from headrace_features.fraud.definitions import card_activity
from headrace_features.oracle import Row, SpineRow
from headrace_features.partials.events import block_of, in_order
from headrace_features.partials.plan import plan_of
from headrace_features.partials.tiles import decode_row
from headrace_features.state import build as build_module
from headrace_features.state.build import build
from headrace_features.state.layout import layout_of
from headrace_features.state.read import Asked, EntityState, Found
from headrace_schemas.errors import UnsupportedError
from histories import LATE, PROMPT, as_table, bits, reading, view_of, view_with

BOUNDARY_MS = 40 * DAY_MS
#: The earliest time that a layer with that boundary answers for.
EARLIEST_MS = 33 * DAY_MS
MINUTE_MS = 60_000


def fields_of(
    view: FeatureView, events: Sequence[Row], sparse: int = 32, entity: int = 0
) -> dict[str, bytes]:
    """The state of sensor "a" after some events."""
    plan = plan_of(view)
    block = in_order(block_of(view, plan, as_table(view, events)))
    with mock.patch.multiple(build_module, SPARSE_DAY=sparse, SPARSE_ENTITY=entity):
        return dict(build(plan, layout_of(view, BOUNDARY_MS), block))


def read(
    view: FeatureView, fields: dict[str, bytes], time_ms: int, current: str | None = None
) -> dict[str, object]:
    """All features of a state as of a time."""
    asked = Asked.of(view, view.feature_names)
    moment = asked.at(time_ms, layout_of(view, BOUNDARY_MS))
    values = EntityState(asked, moment, Found(fields)).read(current).values
    return dict(zip(view.feature_names, map(bits, values), strict=True))


def expected(
    view: FeatureView, events: Sequence[Row], time_ms: int, current: str | None = None
) -> dict[str, object]:
    (row,) = oracle.values(view, events, [SpineRow("a", time_ms, current)])
    return {name: bits(value) for name, value in row.items()}


def test_a_late_event_from_before_the_horizon_joins_the_chains_that_it_lies_between() -> None:
    view = view_with(
        Count(windows=[Session("3h")]), Sum("amount", windows=[Session("3h")]), source=LATE
    )
    events = [
        # Far older, and never part of it.
        reading("e0", EARLIEST_MS - 20 * HOUR_MS, amount=1_000),
        reading("e1", EARLIEST_MS - 6 * HOUR_MS, amount=1),
        # Between two chains that are more than a gap apart; known only after the horizon.
        reading(
            "e2",
            EARLIEST_MS - 210 * MINUTE_MS,
            amount=10,
            known_at=EARLIEST_MS + HOUR_MS,
        ),
        reading("e3", EARLIEST_MS - HOUR_MS, amount=100),
    ]
    fields = fields_of(view, events)
    assert layout_of(view, BOUNDARY_MS).horizon_ms == EARLIEST_MS
    before_ms, after_ms = EARLIEST_MS + HOUR_MS - 1, EARLIEST_MS + HOUR_MS
    unknown, known = read(view, fields, before_ms), read(view, fields, after_ms)
    assert unknown == {"count_session_3h": ("int", 1), "amount_sum_session_3h": ("int", 100)}
    assert known == {"count_session_3h": ("int", 3), "amount_sum_session_3h": ("int", 111)}
    for time_ms in (before_ms, after_ms, EARLIEST_MS + 2 * HOUR_MS, EARLIEST_MS + 2 * HOUR_MS + 1):
        assert read(view, fields, time_ms) == expected(view, events, time_ms)


def test_where_nothing_is_late_only_the_newest_old_chain_is_kept() -> None:
    view = view_with(Count(windows=[Session("3h")]), source=LATE)
    old = [reading(f"e{day}", day * DAY_MS) for day in range(30)]
    newest = [reading("n1", EARLIEST_MS - 2 * HOUR_MS), reading("n2", EARLIEST_MS - 1)]
    assert fields_of(view, [*old, *newest])["base"] != fields_of(view, newest)["base"]
    few, many = fields_of(view, [old[0], *newest]), fields_of(view, [*old, *newest])
    # Thirty times the chains need no more room than one, but for the digits of the count.
    assert len(many["base"]) <= len(few["base"]) + 2
    assert read(view, many, EARLIEST_MS)["count_session_3h"] == ("int", 2)


@pytest.mark.parametrize("delay", ["0ms", "2h"])
@pytest.mark.parametrize("late_ms", [0, 1, MINUTE_MS, HOUR_MS, 5 * HOUR_MS])
def test_an_event_known_after_its_hour_was_over_is_in_no_value_before(
    late_ms: int, delay: str
) -> None:
    view = view_with(
        Count(windows=[Sliding("1d", delay=delay), Unbounded(delay=delay)]), source=LATE
    )
    hour_ms = 36 * DAY_MS + 5 * HOUR_MS
    events = [reading(f"e{n}", hour_ms + n * MINUTE_MS) for n in range(10)]
    # The last millisecond of the hour, known so long after the window has passed it.
    known_ms = hour_ms + HOUR_MS - 1 + Sliding("1d", delay=delay).delay_ms + late_ms
    events.append(reading("late", hour_ms + HOUR_MS - 1, known_at=known_ms))
    fields = fields_of(view, events, sparse=0)
    for time_ms in (known_ms - 1, known_ms, known_ms + 3 * HOUR_MS):
        assert read(view, fields, time_ms) == expected(view, events, time_ms)
    window, unbounded = read(view, fields, known_ms).values()
    assert (window, unbounded) == (("int", 11), ("int", 11))


EXACT = (Sliding("3h"), Sliding("1d", hop="5m", delay="12h"), Session("2h"), Unbounded())


@pytest.mark.parametrize("source", [PROMPT, LATE], ids=["prompt", "late"])
def test_a_dense_day_and_a_sparse_day_give_the_same_values(source: EventSource) -> None:
    view = view_of(source, EXACT)
    events = [
        reading(
            f"e{number:02}",
            38 * DAY_MS + number * 37 * MINUTE_MS,
            amount=number * 7 - 90,
            price=number / 8,
            place=None if number % 5 == 0 else "DE" if number % 2 else "",
            flag=number % 3 == 0,
            known_at=38 * DAY_MS + number * 37 * MINUTE_MS + (number % 4) * 5 * HOUR_MS,
        )
        for number in range(50)
    ]
    dense, sparse = fields_of(view, events, sparse=0), fields_of(view, events, sparse=1_000)
    few = fields_of(view, events, entity=1_000)
    assert set(few) - {"beside"} == {"base", "all"}
    late = {"beside"} if source is LATE else set()
    assert {name.rstrip("0123456789") for name in sparse} == {"base", "days", "r", *late}
    assert {name.rstrip("0123456789") for name in dense} == {"base", "days", "h", "x", *late}
    for hours in range(0, 80, 9):
        time_ms = 38 * DAY_MS + hours * HOUR_MS + 13
        current = f"e{hours % 50:02}"
        found = read(view, dense, time_ms, current)
        assert found == read(view, sparse, time_ms, current) == read(view, few, time_ms, current)
        if hours % 27 == 0:
            assert found == expected(view, events, time_ms, current)


def test_values_decay_with_time_and_without_any_new_event() -> None:
    view = view_with(
        Count(windows=[Sliding("1h"), Tumbling("1d"), Session("30m"), Unbounded()]),
        Last("place", windows=[Sliding("2h")], default="nowhere"),
    )
    last_ms = BOUNDARY_MS - 10 * MINUTE_MS
    events = [reading(f"e{n}", last_ms - n * MINUTE_MS, place="DE") for n in range(5)]
    fields = fields_of(view, events)
    five, none, here = ("int", 5), ("int", 0), ("str", "DE")
    decayed = {
        0: [five, five, five, five, here],
        15: [five, none, five, five, here],
        31: [five, none, none, five, here],
        60: [none, none, none, five, here],
        120: [none, none, none, five, ("str", "nowhere")],
    }
    for minutes, values in decayed.items():
        time_ms = last_ms + minutes * MINUTE_MS
        found = read(view, fields, time_ms)
        assert list(found.values()) == values
        assert found == expected(view, events, time_ms)


def test_an_entity_without_state_has_the_values_of_empty_windows() -> None:
    view = view_of(PROMPT, EXACT)
    assert read(view, {}, BOUNDARY_MS) == expected(view, [], BOUNDARY_MS)
    assert read(view, {}, BOUNDARY_MS, "some event") == expected(view, [], BOUNDARY_MS)


def test_a_day_with_few_events_is_one_field_and_old_days_are_none() -> None:
    events = [reading(f"e{day}", day * DAY_MS) for day in range(40)]
    days = [f"r{day}" for day in range(31, 40)]
    bounded = view_with(Count(windows=[Sliding("2d")]))
    assert sorted(fields_of(bounded, events)) == ["days", *days]
    unbounded = view_with(Count(windows=[Sliding("2d"), Unbounded()]))
    assert sorted(fields_of(unbounded, events)) == ["base", "days", *days]


def test_an_entity_with_few_events_is_one_field() -> None:
    view = view_with(Count(windows=[Sliding("2d")]))
    events = [reading(f"e{n}", BOUNDARY_MS - n) for n in range(1, 130)]
    assert set(fields_of(view, events[:128], entity=128)) == {"all"}
    assert "all" not in fields_of(view, events, entity=128)


def test_raw_events_are_kept_only_where_a_window_can_have_an_edge() -> None:
    events = [reading(f"e{n}", 10 * DAY_MS + n * HOUR_MS) for n in range(29 * 24)]
    view = view_with(Sum("amount", windows=[Sliding("20d", hop="1d")]))
    fields = fields_of(view, events, sparse=0)
    # Old edges are whole days; only what may be the newest edge needs its events.
    raw_days = {int(name[1:]) // 24 for name in fields if name[0] == "x"}
    assert raw_days == set(range(33, 39))
    assert list(decode_row(fields["days"]).indexes) == list(range(13, 39))


def test_the_layout_keeps_what_the_longest_window_needs_a_week_before_the_boundary() -> None:
    layout = layout_of(card_activity, BOUNDARY_MS)
    assert layout.earliest_ms == EARLIEST_MS
    assert layout.horizon_ms == EARLIEST_MS - 30 * DAY_MS
    # The event being decided may be anywhere in its window.
    assert layout.raw_from_ms == layout.horizon_ms
    assert not layout.unbounded


def test_a_time_before_the_earliest_is_refused_and_the_earliest_is_answered() -> None:
    view = view_with(Count())
    fields = fields_of(view, [reading("e1", EARLIEST_MS)])
    assert read(view, fields, EARLIEST_MS) == {"count": ("int", 1)}
    layout = layout_of(view, BOUNDARY_MS)
    layout.require_kept(EARLIEST_MS)
    with pytest.raises(UnsupportedError) as caught:
        layout.require_kept(EARLIEST_MS - 1)
    assert "1970-02-02T23:59:59" in str(caught.value)
    assert "can answer from 1970-02-03T00:00:00" in str(caught.value)
    assert "headrace features history" in str(caught.value)
