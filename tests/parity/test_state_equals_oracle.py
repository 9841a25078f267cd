"""Values merged from tiles and raw events when they are read equal the oracle's, bit for bit."""

from __future__ import annotations

from unittest import mock

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headrace_features import oracle
from headrace_features.definitions.durations import DAY_MS, HOUR_MS
from headrace_features.oracle import SpineRow
from headrace_features.partials.events import block_of, in_order
from headrace_features.partials.plan import plan_of
from headrace_features.state import build as build_module
from headrace_features.state.build import build
from headrace_features.state.layout import layout_of
from headrace_features.state.read import Asked, EntityState, Found
from headrace_schemas.errors import BadRecordError, UnsupportedError
from histories import VIEWS_OF_DAYS as VIEWS
from histories import as_table, bits, time_of, weeks


@pytest.mark.parametrize("name", VIEWS)
@given(data=st.data())
@settings(deadline=None, max_examples=60)
def test_state_read_at_any_time_equals_the_oracle(name: str, data: st.DataObject) -> None:
    view = VIEWS[name]
    plan, asked = plan_of(view), Asked.of(view, view.feature_names)
    boundary_ms = data.draw(st.integers(0, 15)) * DAY_MS
    history = [row for row in data.draw(weeks()) if time_of(row) < boundary_ms]
    layout = layout_of(view, boundary_ms)
    block = in_order(block_of(view, plan, as_table(view, history)))
    day, entity = data.draw(st.sampled_from([(0, 0), (2, 4), (32, 128), (2, 0), (32, 0)]))
    with mock.patch.multiple(build_module, SPARSE_DAY=day, SPARSE_ENTITY=entity):
        fields = build(plan, layout, block)
    for _ in range(6):
        since_ms = data.draw(st.integers(0, 24 * 12)) * HOUR_MS
        time_ms = layout.earliest_ms + since_ms + data.draw(st.sampled_from([0, 1, -1, 777_777]))
        time_ms = max(time_ms, layout.earliest_ms)
        known = [str(row["reading_id"]) for row in history]
        current = data.draw(st.sampled_from([None, "none such", *known]))
        try:
            expected = oracle.values(view, history, [SpineRow("a", time_ms, current)])[0]
        except BadRecordError:
            continue
        moment = asked.at(time_ms, layout)
        wanted = None if current is not None else asked.fields(layout, time_ms // 60_000)
        held = {n: content for n, content in fields.items() if wanted is None or n in wanted}
        found = EntityState(asked, moment, Found(held)).read(current).values
        assert list(map(bits, found)) == list(map(bits, expected.values()))


def test_a_time_before_what_is_kept_is_refused() -> None:
    view = VIEWS["prompt, exact"]
    layout = layout_of(view, 100 * DAY_MS)
    with pytest.raises(UnsupportedError, match="can answer from 1970-04-04T00:00:00"):
        layout.require_kept(layout.earliest_ms - 1)
