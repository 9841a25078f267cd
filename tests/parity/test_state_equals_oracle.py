"""Values merged from tiles and raw events when they are read equal the oracle's, bit for bit."""

from __future__ import annotations

from unittest import mock

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headrace_features import Session, Sliding, Tumbling, Unbounded, oracle
from headrace_features.definitions.durations import DAY_MS, HOUR_MS
from headrace_features.oracle import SpineRow
from headrace_features.partials.events import events_of
from headrace_features.partials.plan import plan_of
from headrace_features.state import build as build_module
from headrace_features.state.build import build
from headrace_features.state.layout import layout_of
from headrace_features.state.read import EntityState
from headrace_schemas.errors import BadRecordError, UnsupportedError
from histories import LATE, PROMPT, as_table, bits, time_of, view_of, weeks

EXACT = (
    Sliding("3h"),
    Sliding("2d", hop="5m"),
    Sliding("1d", delay="12h"),
    Tumbling("90m"),
    Session("2h"),
    Session("30m", delay="6h"),
)
COARSE = (
    Sliding("2d", hop="6h"),
    Sliding("2d", hop="1h", delay="6h"),
    Tumbling("1d"),
    Unbounded(),
    Unbounded(delay="1d"),
)
VIEWS = {
    "prompt, exact": view_of(PROMPT, EXACT),
    "prompt, coarse": view_of(PROMPT, COARSE),
    "late, exact": view_of(LATE, EXACT),
    "late, coarse": view_of(LATE, COARSE),
    "late, both": view_of(LATE, EXACT[1:3] + COARSE[:1] + COARSE[3:]),
}


@pytest.mark.parametrize("name", VIEWS)
@given(data=st.data())
@settings(deadline=None, max_examples=60)
def test_state_read_at_any_time_equals_the_oracle(name: str, data: st.DataObject) -> None:
    view = VIEWS[name]
    plan = plan_of(view)
    boundary_ms = data.draw(st.integers(0, 15)) * DAY_MS
    history = [row for row in data.draw(weeks()) if time_of(row) < boundary_ms]
    layout = layout_of(view, boundary_ms)
    ordered = sorted(history, key=time_of)
    with mock.patch.object(build_module, "SPARSE_EVENTS", data.draw(st.sampled_from([0, 2, 32]))):
        fields = build(plan, layout, events_of(view, plan, as_table(view, ordered)))
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
        state = EntityState(plan, layout, fields, time_ms)
        found = {f.name: bits(state.value(f, current)) for f in view.features}
        assert found == {feature: bits(value) for feature, value in expected.items()}


def test_a_time_before_what_is_kept_is_refused() -> None:
    view = VIEWS["prompt, exact"]
    layout = layout_of(view, 100 * DAY_MS)
    with pytest.raises(UnsupportedError, match="can answer from 1970-04-04T00:00:00"):
        EntityState(plan_of(view), layout, {}, layout.earliest_ms - 1)
