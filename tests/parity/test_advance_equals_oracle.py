"""State that events come into day by day has the oracle's values, and is what one build makes."""

from __future__ import annotations

from collections.abc import Mapping
from unittest import mock

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headrace_features import FeatureView, oracle
from headrace_features.definitions.durations import DAY_MS, HOUR_MS
from headrace_features.oracle import Row as Event
from headrace_features.oracle import SpineRow
from headrace_features.partials.events import block_of, in_order
from headrace_features.partials.plan import plan_of
from headrace_features.state import build as build_module
from headrace_features.state.advance import FIRST, Advance
from headrace_features.state.build import build
from headrace_features.state.layout import Layout, layout_of
from headrace_features.state.read import Asked, EntityState, Found
from headrace_schemas.errors import BadRecordError
from histories import VIEWS_OF_DAYS as VIEWS
from histories import as_table, bits, time_of, weeks


class Entity:
    """The fields of an entity, and the events that are in them."""

    def __init__(self, view: FeatureView) -> None:
        self._view = view
        self._plan = plan_of(view)
        self.fields: dict[str, bytes] = {}
        self.events: list[Event] = []

    def layout(self, day: int) -> Layout:
        return layout_of(self._view, (day + 1) * DAY_MS)

    def take(self, events: list[Event]) -> None:
        """Let events come in, and read no more fields than are said to be needed."""
        self.events += events
        block = in_order(block_of(self._view, self._plan, as_table(self._view, events)))
        first = {name: self.fields[name] for name in FIRST if name in self.fields}
        advance = Advance(self._plan, self.layout, first, block)
        if advance.is_lost:
            self.fields = self.built()
            return
        more = {name: self.fields[name] for name in advance.needs if name in self.fields}
        for name, content in advance.changes(more).items():
            assert self.fields.get(name, b"") != content
            if content:
                self.fields[name] = content
            else:
                del self.fields[name]

    def built(self) -> dict[str, bytes]:
        """The fields as one build makes them of all events."""
        block = in_order(block_of(self._view, self._plan, as_table(self._view, self.events)))
        return build(self._plan, self.layout(block.times[-1] // DAY_MS), block)

    def values(self, boundary_ms: int, time_ms: int, current: str | None) -> Mapping[str, object]:
        asked = Asked.of(self._view, self._view.feature_names)
        moment = asked.at(time_ms, layout_of(self._view, boundary_ms))
        values = EntityState(asked, moment, Found(self.fields)).read(current).values
        return dict(zip(self._view.feature_names, map(bits, values), strict=True))


def days(data: st.DataObject, history: list[Event]) -> list[tuple[int, list[Event]]]:
    """Boundaries, and the events that come in before each: most of their day, some later."""
    came: dict[int, list[Event]] = {}
    step = data.draw(st.sampled_from([1, 3, 11]))
    for event in history:
        day = time_of(event) // DAY_MS + 1 + data.draw(st.sampled_from([0, 0, 0, 1, 4, 12]))
        came.setdefault(-(-day // step) * step, []).append(event)
    return sorted(came.items())


@pytest.mark.parametrize("name", VIEWS)
@given(data=st.data())
@settings(deadline=None, max_examples=15)
def test_state_that_events_come_into_has_the_oracle_s_values(
    name: str, data: st.DataObject
) -> None:
    view = VIEWS[name]
    entity = Entity(view)
    sparse_day = data.draw(st.sampled_from([2, 128]))
    with mock.patch.multiple(build_module, SPARSE_DAY=sparse_day, SPARSE_ENTITY=4):
        for day, events in days(data, data.draw(weeks())):
            entity.take(events)
            layout = layout_of(view, day * DAY_MS)
            for _ in range(3):
                hours = data.draw(st.integers(0, 24 * 12))
                more_ms = data.draw(st.sampled_from([0, 1, 777_777]))
                time_ms = layout.earliest_ms + hours * HOUR_MS + more_ms
                known = [str(row["reading_id"]) for row in entity.events]
                current = data.draw(st.sampled_from([None, "none such", *known]))
                try:
                    row = oracle.values(view, entity.events, [SpineRow("a", time_ms, current)])[0]
                except BadRecordError:
                    continue
                expected = {name: bits(value) for name, value in row.items()}
                assert entity.values(day * DAY_MS, time_ms, current) == expected


# Where events wait to be known, the base keeps chains that another way to it has let go.
@pytest.mark.parametrize("name", [name for name in VIEWS if name.startswith("prompt")])
@given(data=st.data())
@settings(deadline=None, max_examples=20)
def test_the_state_of_an_entity_with_few_events_is_what_one_build_makes(
    name: str, data: st.DataObject
) -> None:
    entity = Entity(VIEWS[name])
    for _, events in days(data, data.draw(weeks())):
        entity.take(events)
        assert entity.fields == entity.built()
