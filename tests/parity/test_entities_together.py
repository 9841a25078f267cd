"""Values of many entities that are read at once equal the oracle's, bit for bit."""

from __future__ import annotations

from collections.abc import Mapping
from unittest import mock

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headrace_features import Count, FeatureView, Mean, Sliding, Sum, Tumbling, Variance, oracle
from headrace_features.definitions.durations import DAY_MS, HOUR_MS
from headrace_features.definitions.windows import Window
from headrace_features.oracle import Row, SpineRow
from headrace_features.partials import tiles
from headrace_features.partials.events import block_of, encode_events, in_order
from headrace_features.partials.plan import plan_of
from headrace_features.state import build as build_module
from headrace_features.state import together as together_module
from headrace_features.state.build import build
from headrace_features.state.layout import Layout, layout_of
from headrace_features.state.read import Asked, Found
from headrace_features.state.together import Together
from headrace_schemas.columns import INT64_MAX
from headrace_schemas.errors import BadRecordError
from histories import LATE, VIEWS_OF_DAYS, as_table, bits, reading, time_of, view_with, weeks
from stream_state import stream_fields

WINDOWS: list[Window] = [
    Sliding("1h"),
    Sliding("3d", delay="6h"),
    Tumbling("90m"),
    Sliding("9d", hop="1d"),
]
SUMS = [
    Count(windows=WINDOWS),
    Sum("amount", windows=WINDOWS),
    Mean("amount", windows=WINDOWS),
    Variance("amount", windows=WINDOWS),
]
VIEWS = {
    **VIEWS_OF_DAYS,
    "prompt, sums": view_with(*SUMS),
    "late, sums": view_with(*SUMS, source=LATE),
}
#: How many events make a day, or an entity, so that it has tiles.
SPARSE = [(0, 0), (2, 4), (32, 128), (2, 0)]


def found_of(
    view: FeatureView,
    history: list[Row],
    layout: Layout,
    sparse: tuple[int, int],
    kinds: Mapping[int, str],
) -> Found:
    """The state of an entity: of what a layout keeps as batch leaves it as well."""
    plan, boundary_ms, known_ms = plan_of(view), layout.boundary_ms, layout.known_ms
    block = in_order(block_of(view, plan, as_table(view, history)))
    before = block.chosen(
        [
            at
            for at, ms in enumerate(block.times)
            if ms < boundary_ms and (known_ms is None or block.available_ms(at) <= known_ms)
        ]
    )
    with mock.patch.multiple(build_module, SPARSE_DAY=sparse[0], SPARSE_ENTITY=sparse[1]):
        batch = build(plan, layout, before)
    return Found(batch, stream_fields(block, kinds))


def plain(history: list[Row]) -> list[Row]:
    """The same events without nulls, and with amounts whose sums are not great."""
    return [{**row, "amount": (row["amount"] or 7) % 1_000, "flag": True} for row in history]


@pytest.mark.parametrize("name", VIEWS)
@given(data=st.data())
@settings(deadline=None, max_examples=20)
def test_entities_that_are_read_together_have_the_oracle_s_values(
    name: str, data: st.DataObject
) -> None:
    view = VIEWS[name]
    asked = Asked.of(view, view.feature_names)
    together = Together(asked)
    boundary_ms = data.draw(st.integers(0, 15)) * DAY_MS
    known_ms = None
    if view.source.available_at is not None:
        after_ms = data.draw(st.sampled_from([None, -HOUR_MS, 0, 26 * HOUR_MS]))
        known_ms = None if after_ms is None else boundary_ms + after_ms
    layout = layout_of(view, boundary_ms, known_ms)
    histories: list[list[Row]] = [[]]
    entities = [Found()]
    for _ in range(3):
        drawn = data.draw(weeks())
        for history in (plain(drawn), plain(drawn)[::2], drawn):
            kinds = data.draw(st.dictionaries(st.integers(0, 21), st.sampled_from("rxyz")))
            sparse = data.draw(st.sampled_from(SPARSE))
            histories.append(history)
            entities.append(found_of(view, history, layout, sparse, kinds))
    for _ in range(3):
        hours = data.draw(st.integers(0, 24 * 21))
        time_ms = layout.earliest_ms + hours * HOUR_MS + data.draw(st.sampled_from([0, 1, 777_777]))
        try:
            expected = [
                oracle.values(view, history, [SpineRow("a", time_ms, None)])[0]
                for history in histories
            ]
        except BadRecordError:
            continue
        found = together.read(asked.at(time_ms, layout), entities)
        for (values, _), right in zip(found, expected, strict=True):
            assert list(map(bits, values)) == list(map(bits, right.values()))


def busy(amounts: list[int | None]) -> list[Row]:
    return [reading(f"{at:03d}", at * HOUR_MS, amount=amount) for at, amount in enumerate(amounts)]


def of_each(view: FeatureView, histories: list[list[Row]], time_ms: int) -> list[list[object]]:
    """The values of some entities, which have to be the oracle's."""
    asked = Asked.of(view, view.feature_names)
    layout = layout_of(view, 2 * DAY_MS)
    entities = [found_of(view, history, layout, (2, 4), {2: "x"}) for history in histories]
    moment = asked.at(time_ms, layout)
    found = [list(map(bits, one.values)) for one in Together(asked).read(moment, entities)]
    assert found == [
        [bits(v) for v in oracle.values(view, one, [SpineRow("a", time_ms, None)])[0].values()]
        for one in histories
    ]
    return found


def test_sums_of_integers_are_read_without_looking_at_one_entity_alone() -> None:
    histories = [busy([1, -2, 3] * 20), busy([300] * 60), [], busy([5])]
    with mock.patch.object(together_module, "EntityState", side_effect=AssertionError):
        of_each(view_with(*SUMS), histories, 3 * DAY_MS + 5)
        of_each(view_with(*SUMS, source=LATE), histories, 3 * DAY_MS + 5)


def test_an_entity_with_nulls_or_events_that_stand_alone_is_read_alone() -> None:
    view = view_with(*SUMS)
    of_each(view, [busy([1] * 60), busy([None, 4] * 30), busy([2] * 60)], 3 * DAY_MS)
    asked, plan = Asked.of(view, view.feature_names), plan_of(view)
    history = busy([1] * 60)
    block = in_order(block_of(view, plan, as_table(view, history)))
    first, second = (
        block.chosen([at for at, row in enumerate(history) if time_of(row) // DAY_MS == day])
        for day in range(2)
    )
    tile = tiles.encode(plan, tiles.fold(plan, first))
    fine = stream_fields(block, {0: "x", 1: "x"})
    entities = [
        Found({}, stream_fields(block, {})),
        Found({}, {**fine, "d0": tile}),
        # What hides finer blocks is empty once they are there.
        Found({}, {**fine, "r0": b"", "r1": encode_events(second)}),
        # More blocks than are worth it without the tile.
        Found({}, {**stream_fields(block, {0: "z", 1: "z", 2: "z"}), "d0": tile}),
        # The first event is in a block as well.
        Found({}, {**fine, "l0": encode_events(first.part(0, 1))}),
    ]
    time_ms = 2 * DAY_MS + 3
    right = oracle.values(view, history, [SpineRow("a", time_ms, None)])[0]
    for values, _ in Together(asked).read(asked.at(time_ms), entities):
        assert list(map(bits, values)) == list(map(bits, right.values()))


@pytest.mark.parametrize("great", [INT64_MAX // 100, 2**40, -(2**55)])
def test_sums_that_could_leave_64_bits_are_right(great: int) -> None:
    of_each(view_with(*SUMS), [busy([great] * 60), busy([1, 2] * 30)], 3 * DAY_MS)


def test_without_a_layer_or_an_entity_there_is_nothing_to_read() -> None:
    view = VIEWS["prompt, sums"]
    asked = Asked.of(view, view.feature_names)
    together = Together(asked)
    assert together.read(asked.at(0), []) == []
    ((values, _),) = together.read(asked.at(0), [Found()])
    right = oracle.values(view, [], [SpineRow("a", 0, None)])[0]
    assert list(map(bits, values)) == list(map(bits, right.values()))
