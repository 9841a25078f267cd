"""Values merged from both layers of an online store equal the oracle's, with any boundary."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headrace_features import FeatureView, oracle
from headrace_features.definitions.durations import HOUR_MS
from headrace_features.online.layers import NEVER_MS, Had
from headrace_features.online.served import Query, ServedView, ViewQuery, entity_key, view_key
from headrace_features.online.serving import Server
from headrace_features.online.sqlite_store import SqliteStateStore
from headrace_features.online.store import Row, StateStore
from headrace_features.oracle import Row as Event
from headrace_features.oracle import SpineRow
from headrace_features.partials.events import block_of, in_order
from headrace_features.partials.plan import plan_of
from headrace_features.state.build import build
from headrace_features.state.layout import Layout, layout_of
from headrace_schemas.errors import BadRecordError
from histories import VIEWS_OF_DAYS as VIEWS
from histories import as_table, bits, weeks
from online_stores import apply, change, make_whole
from stream_state import stream_fields


def fill(
    store: StateStore,
    view: FeatureView,
    history: list[Event],
    layout: Layout,
    kinds: dict[int, str],
) -> None:
    """Put what a layout keeps into the batch layer, and all events into the stream's."""
    plan, boundary_ms, known_ms = plan_of(view), layout.boundary_ms, layout.known_ms
    block = in_order(block_of(view, plan, as_table(view, history)))
    before = block.chosen(
        [
            at
            for at, ms in enumerate(block.times)
            if ms < boundary_ms and (known_ms is None or block.available_ms(at) <= known_ms)
        ]
    )
    generation = store.begin(view_key(view), boundary_ms)
    store.write(
        generation,
        [Row(entity_key("a"), name, value) for name, value in build(plan, layout, before).items()],
    )
    # Without such a time it has what is yet to become known.
    written_ms = boundary_ms if known_ms is not None else NEVER_MS
    store.publish(generation, Had.until(generation, written_ms)._replace(known_ms=known_ms))
    changes = [
        change(name, 1, number, content, view=view_key(view), entity="a")
        for number, (name, content) in enumerate(stream_fields(block, kinds).items())
    ]
    apply(store, *changes)
    make_whole(store, view_key(view))


@pytest.mark.parametrize("name", VIEWS)
@given(data=st.data())
@settings(deadline=None, max_examples=25)
def test_both_layers_together_give_the_oracle_s_values(name: str, data: st.DataObject) -> None:
    view = VIEWS[name]
    # Neither a day's nor an hour's: the layers meet anywhere.
    boundary_ms = data.draw(st.integers(0, 15 * 24)) * HOUR_MS + data.draw(
        st.sampled_from([0, 1, 777_777])
    )
    history = data.draw(weeks())
    kinds = data.draw(st.dictionaries(st.integers(0, 21), st.sampled_from("rxyz"), max_size=20))
    known_ms = None
    if view.source.available_at is not None:
        after_ms = data.draw(st.sampled_from([None, -HOUR_MS, 0, 1, 26 * HOUR_MS]))
        known_ms = None if after_ms is None else boundary_ms + after_ms
    with tempfile.TemporaryDirectory() as folder:
        store = SqliteStateStore(Path(folder) / "online.db")
        layout = layout_of(view, boundary_ms, known_ms)
        fill(store, view, history, layout, kinds)
        server = Server(store)
        served = ServedView(view, view.feature_names)
        for _ in range(5):
            hours = data.draw(st.integers(0, 24 * 21))
            time_ms = (
                layout.earliest_ms + hours * HOUR_MS + data.draw(st.sampled_from([0, 1, 777_777]))
            )
            known = [str(row["reading_id"]) for row in history]
            current = data.draw(st.sampled_from([None, "none such", *known]))
            try:
                expected = oracle.values(view, history, [SpineRow("a", time_ms, current)])[0]
            except BadRecordError:
                continue
            (answered,) = server.read([ViewQuery(served, [Query("a", time_ms, current)])])
            (answer,) = answered.answers
            assert answer.incomplete is None
            assert list(map(bits, answer.values)) == list(map(bits, expected.values()))
