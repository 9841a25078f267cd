"""Partials: any division of the same events into tiles, in any order, gives one state."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headrace_features import Count, Distinct, Session, Sliding, Sum, Unbounded, Variance, oracle
from headrace_features.definitions.views import Feature, FeatureView
from headrace_features.oracle import Row, SpineRow
from headrace_features.partials import tiles
from headrace_features.partials.blocks import EventBlock
from headrace_features.partials.encoding import ENCODING_VERSION
from headrace_features.partials.events import block_of, decode_events, encode_events, in_order
from headrace_features.partials.partial import Value
from headrace_features.partials.plan import PartialPlan, plan_of
from headrace_features.partials.tiles import Tile
from headrace_schemas.columns import INT64_MAX
from headrace_schemas.errors import BadRecordError, UnsupportedError
from headrace_schemas.reasons import Reason
from histories import LATE, PROMPT, as_table, bits, histories, reading, time_of, view_of, view_with

WINDOWS = (Unbounded(), Session("3ms"), Session("9ms"), Session("40ms"))
VIEW = view_of(PROMPT, WINDOWS)
PLAN = plan_of(VIEW)
NO_EVENTS = EventBlock([], [], None, [[] for _ in PLAN.columns])
NOTHING = tiles.fold(PLAN, NO_EVENTS)


def block(view: FeatureView, rows: list[Row]) -> EventBlock:
    return in_order(block_of(view, plan_of(view), as_table(view, rows)))


def of_one_sensor(history: list[Row]) -> EventBlock:
    return block(VIEW, [row for row in history if row["sensor"] == "a"])


def split(data: st.DataObject, events: EventBlock) -> list[EventBlock]:
    """The events in random, perhaps empty, parts that lie across one another in time."""
    places = range(len(events.times))
    parts = data.draw(st.lists(st.integers(0, 6), min_size=len(places), max_size=len(places)))
    return [events.chosen([at for at in places if parts[at] == number]) for number in range(7)]


def folded(data: st.DataObject, parts: list[Tile]) -> Tile:
    """The parts merged in a random order, along a random tree."""
    while len(parts) > 1:
        left = parts.pop(data.draw(st.integers(0, len(parts) - 1)))
        right = parts.pop(data.draw(st.integers(0, len(parts) - 1)))
        parts.append(tiles.merge(PLAN, [left, right]))
    return parts[0]


def values(tile: Tile, time_ms: int) -> dict[str, Any]:
    """The features of a tile whose events are all at or before a time."""
    found: dict[str, Any] = {}
    for feature in VIEW.features:
        states = tile.states
        if isinstance(feature.window, Session):
            states = newest_session(PLAN, tile, feature.window.gap_ms, time_ms)
        found[feature.name] = outcome(PLAN, states, feature)
    return found


def newest_session(plan: PartialPlan, tile: Tile, gap_ms: int, time_ms: int) -> Any:
    chains = tile.chains[plan.gaps_ms.index(gap_ms)]
    chain = tiles.session(chains, gap_ms, time_ms)
    return plan.empty if chain is None else chain.states


def outcome(plan: PartialPlan, states: Any, feature: Feature) -> Any:
    try:
        return bits(plan.finalize(states, feature))
    except BadRecordError as error:
        return error.reason


def expected(view: FeatureView, history: list[Row], time_ms: int) -> dict[str, Any]:
    """What the oracle says of each feature by itself, errors included."""
    events = oracle._events_by_key(view, history).get("a", [])

    def one(feature: Feature) -> Any:
        try:
            return bits(oracle.value_of(feature, events, time_ms))
        except BadRecordError as error:
            return error.reason

    return {feature.name: one(feature) for feature in view.features}


@given(data=st.data())
@settings(deadline=None, max_examples=120)
def test_any_division_into_tiles_in_any_order_gives_the_same_state(data: st.DataObject) -> None:
    events = of_one_sensor(data.draw(histories()))
    whole = tiles.fold(PLAN, events)
    parts = [tiles.fold(PLAN, part) for part in split(data, events)]
    assert folded(data, parts) == whole


@given(data=st.data())
@settings(deadline=None, max_examples=60)
def test_any_division_into_tiles_gives_the_oracle_s_values(data: st.DataObject) -> None:
    history = data.draw(histories())
    events = of_one_sensor(history)
    tile = folded(data, [tiles.fold(PLAN, part) for part in split(data, events)])
    newest_ms = max(events.times, default=0)
    time_ms = newest_ms + data.draw(st.sampled_from([0, 1, 3, 4, 9, 10, 40, 41]))
    assert values(tile, time_ms) == expected(VIEW, history, time_ms)


@given(data=st.data())
@settings(deadline=None, max_examples=60)
def test_merging_is_associative_and_commutative_and_nothing_is_its_neutral(
    data: st.DataObject,
) -> None:
    events = of_one_sensor(data.draw(histories()))
    a, b, c = (
        tiles.fold(PLAN, events.chosen(list(range(third, len(events.times), 3))))
        for third in range(3)
    )
    assert tiles.merge(PLAN, [a, b]) == tiles.merge(PLAN, [b, a])
    left = tiles.merge(PLAN, [tiles.merge(PLAN, [a, b]), c])
    assert left == tiles.merge(PLAN, [a, tiles.merge(PLAN, [b, c])]) == tiles.merge(PLAN, [c, a, b])
    assert tiles.merge(PLAN, [NOTHING, a]) == tiles.merge(PLAN, [a, NOTHING]) == a


@given(history=histories())
@settings(deadline=None, max_examples=60)
def test_a_tile_is_read_back_as_it_was_written(history: list[Row]) -> None:
    tile = tiles.fold(PLAN, of_one_sensor(history))
    encoded = tiles.encode(PLAN, tile)
    assert tiles.decode(PLAN, encoded) == tile
    # The same state has the same bytes, so that stores can compare them.
    assert tiles.encode(PLAN, tiles.decode(PLAN, encoded)) == encoded


@given(history=histories())
@settings(deadline=None, max_examples=40)
def test_raw_events_are_read_back_as_they_were_written(history: list[Row]) -> None:
    events = of_one_sensor(history)
    assert decode_events(encode_events(events)) == events


@given(history=histories())
@settings(deadline=None, max_examples=40)
def test_when_events_became_known_is_read_back(history: list[Row]) -> None:
    view = view_with(Count(), Sum("amount"), source=LATE)
    events = block(view, history)
    found = decode_events(encode_events(events))
    places = range(len(events))
    assert [found.available_ms(at) for at in places] == [events.available_ms(at) for at in places]
    assert [*found.times] == [*events.times]


@given(history=histories(), data=st.data())
@settings(deadline=None, max_examples=60)
def test_any_range_of_a_row_of_tiles_is_what_its_tiles_are_together(
    history: list[Row], data: st.DataObject
) -> None:
    parts = [tiles.fold(PLAN, part) for part in split(data, of_one_sensor(history))]
    row = tiles.decode_row(tiles.encode_row(PLAN, [2, 3, 5, 6, 7, 8, 13], parts))
    first, last = sorted(data.draw(st.tuples(st.integers(0, 15), st.integers(0, 15))))
    start, stop = row.range(first, last)
    assert [*row.indexes[start:stop]] == [i for i in (2, 3, 5, 6, 7, 8, 13) if first <= i <= last]
    whole = tiles.merge(PLAN, [NOTHING, *parts[start:stop]])
    for place, partial_ in enumerate(PLAN.partials):
        assert row.state(partial_, place, start, stop) == whole.states[place]
    for place, gap_ms in enumerate(PLAN.gaps_ms):
        chains = (chain for at in range(start, stop) for chain in row.chains_at(PLAN, at)[place])
        assert tiles.joined(PLAN, gap_ms, chains) == whole.chains[place]


@pytest.mark.parametrize("version", [0, ENCODING_VERSION + 1])
@pytest.mark.parametrize(
    ("encoded", "decode"),
    [
        (tiles.encode(PLAN, NOTHING), partial(tiles.decode, PLAN)),
        (encode_events(NO_EVENTS), decode_events),
    ],
    ids=["tile", "raw events"],
)
def test_state_of_another_version_is_refused_with_what_to_do(
    version: int, encoded: bytes, decode: Callable[[bytes], object]
) -> None:
    _, content = msgspec.msgpack.decode(encoded)
    with pytest.raises(
        UnsupportedError, match=rf"version {version}, .* reads 3 .*headrace online rebuild"
    ):
        decode(msgspec.msgpack.encode([version, content]))


@pytest.mark.parametrize(
    "total", [0, 1, -1, 127, 128, -128, -129, 2**63, -(2**63), 2**64, 2**200, -(2**200), 255, 256]
)
def test_exact_sums_of_any_size_are_read_back(total: int) -> None:
    view = view_with(Sum("amount"), Variance("amount"), Sum("price"), Variance("price"))
    plan = plan_of(view)
    states = tuple(state._replace(n=3, total=total, squares=total**2) for state in plan.empty)
    tile = Tile(states, ())
    assert tiles.decode(plan, tiles.encode(plan, tile)) == tile


def test_a_session_of_events_that_a_late_one_joins_is_one_chain() -> None:
    view = view_with(Count(windows=[Session("5ms")]))
    plan = plan_of(view)
    rows = [reading("e1", 0), reading("e3", 10), reading("e2", 5), reading("e4", 100)]
    tile = tiles.fold(plan, block(view, []))
    seen = []
    for row in rows:
        one = tiles.fold(plan, block(view, [row]))
        tile = tiles.merge(plan, [tile, one])
        seen.append([(c.start_ms, c.last_ms, c.states) for c in tile.chains[0]])
    assert seen == [
        [(0, 0, (1,))],
        [(0, 0, (1,)), (10, 10, (1,))],
        [(0, 10, (3,))],
        [(0, 10, (3,)), (100, 100, (1,))],
    ]
    assert tiles.newest_chains(tile).chains[0] == tile.chains[0][-1:]


def test_chains_inside_one_another_are_joined_with_the_longer_end() -> None:
    view = view_with(Count(windows=[Session("10ms")]))
    plan = plan_of(view)

    def chain(*times_ms: int) -> Tile:
        rows = [reading(f"e{time_ms}", time_ms) for time_ms in times_ms]
        return tiles.fold(plan, block(view, rows))

    joined = tiles.merge(plan, [chain(0, 10, 20, 30), chain(11, 12)])
    assert [(c.start_ms, c.last_ms, c.states) for c in joined.chains[0]] == [(0, 30, (6,))]


def test_features_of_one_column_share_a_partial_and_sessions_share_all() -> None:
    view = view_with(
        Sum("amount", windows=[Sliding("1h"), Session("1m")]),
        Variance("amount", windows=[Sliding("1d"), Session("1h")]),
        Distinct("place", windows=[Session("1m")]),
        Count(windows=[Sliding("1h"), Unbounded()]),
    )
    plan = plan_of(view)
    assert len(plan.partials) == 3
    assert plan.gaps_ms == (60_000, 3_600_000)
    assert plan.columns == ("amount", "place")
    # The sum's partial keeps squares, because the variance needs them.
    assert plan.position["amount_sum_1h"] == plan.position["amount_variance_1d"]


def test_each_session_gap_has_its_own_chains() -> None:
    view = view_with(Count(windows=[Session("20ms"), Session("5ms")]))
    plan = plan_of(view)
    rows = [reading(f"e{at}", at) for at in (0, 4, 20, 24)]
    tile = tiles.fold(plan, block(view, rows))
    assert [newest_session(plan, tile, gap_ms, 24) for gap_ms in (5, 20)] == [(2,), (4,)]
    assert [newest_session(plan, tile, gap_ms, 30) for gap_ms in (5, 20)] == [(0,), (4,)]
    assert [newest_session(plan, tile, gap_ms, 45) for gap_ms in (5, 20)] == [(0,), (0,)]


def test_a_partial_that_leaves_int64_in_between_is_right_in_the_end() -> None:
    view = view_with(Sum("amount"))
    plan = plan_of(view)
    rows = [reading(f"e{n}", n, amount=INT64_MAX) for n in range(3)]
    rows += [reading(f"f{n}", n, amount=-INT64_MAX) for n in range(3)]
    assert time_of(rows[-1]) == 2
    halves = [tiles.fold(plan, block(view, half)) for half in (rows[:3], rows[3:])]
    with pytest.raises(BadRecordError) as caught:
        plan.finalize(halves[0].states, view.features[0])
    assert caught.value.reason is Reason.INTEGER_OVERFLOW
    stored = [tiles.decode(plan, tiles.encode(plan, half)) for half in halves]
    total: Value = plan.finalize(tiles.merge(plan, stored).states, view.features[0])
    assert total == 0


def test_the_oracle_and_the_partials_agree_on_a_known_history() -> None:
    rows = [reading("e1", 0, amount=1), reading("e2", 2, amount=5), reading("e3", 9, amount=7)]
    tile = tiles.fold(PLAN, of_one_sensor(rows))
    found = values(tile, 9)
    names = ("amount_sum", "amount_sum_session_3ms", "amount_sum_session_9ms")
    assert [found[name] for name in names] == [("int", 13), ("int", 7), ("int", 13)]
    (row,) = oracle.values(VIEW, rows, [SpineRow("a", 9)])
    assert [row[name] for name in names] == [13, 7, 13]
