"""Values of what the stream has written, as tests ask for them."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import groupby

from headrace_features.definitions.durations import DAY_MS, HOUR_MS
from headrace_features.definitions.views import FeatureView
from headrace_features.partials.blocks import EventBlock
from headrace_features.partials.events import encode_events
from headrace_features.partials.partial import Value
from headrace_features.state.batch import Span
from headrace_features.state.read import Asked, EntityState
from headrace_features.state.stream import CALENDAR, StreamLayer, Widths

_WIDTHS_MS = {"r": DAY_MS, "x": HOUR_MS, "y": 60_000, "z": 1_000}


def values_of(
    view: FeatureView,
    fields: Mapping[str, bytes],
    time_ms: int,
    current: str | None = None,
    widths: Widths = CALENDAR,
) -> dict[str, Value]:
    """Every feature of a view for an entity of which there is a stream layer alone."""
    found = read_of(view, fields, time_ms, current, widths)
    return {name: found[name][0] for name in view.feature_names}


def read_of(
    view: FeatureView,
    fields: Mapping[str, bytes],
    time_ms: int,
    current: str | None = None,
    widths: Widths = CALENDAR,
) -> dict[str, tuple[Value, Span]]:
    """The same, with the span that each feature looked at."""
    asked = Asked.of(view, view.feature_names)
    state = EntityState(asked, asked.at(time_ms))
    state._stream = StreamLayer(asked.plan, fields, time_ms, widths)
    values, spans = state.read(current)
    return {
        feature.name: (values[at], span)
        for window, span in zip(asked.windows, spans, strict=True)
        for _, features in window.partials
        for at, feature in features
    }


def stream_fields(block: EventBlock, kinds: Mapping[int, str]) -> dict[str, bytes]:
    """Blocks of events, of a width that is chosen for each day."""
    fields = {}
    for day, inside in groupby(range(len(block.times)), key=lambda at: block.times[at] // DAY_MS):
        kind = kinds.get(day, "r")
        width_ms = _WIDTHS_MS[kind]
        for index, places in groupby(inside, key=lambda at: block.times[at] // width_ms):
            fields[f"{kind}{index}"] = encode_events(block.chosen(list(places)))
    return fields
