"""Values of what the stream has written, as tests ask for them."""

from __future__ import annotations

from collections.abc import Mapping

from headrace_features.definitions.views import FeatureView
from headrace_features.partials.kinds import Value
from headrace_features.state.read import Asked, EntityState
from headrace_features.state.stream import CALENDAR, StreamLayer, Widths


def values_of(
    view: FeatureView,
    fields: Mapping[str, bytes],
    time_ms: int,
    current: str | None = None,
    widths: Widths = CALENDAR,
) -> dict[str, Value]:
    """Every feature of a view for an entity of which there is a stream layer alone."""
    asked = Asked.of(view, view.feature_names)
    state = EntityState(asked, time_ms)
    state._stream = StreamLayer(asked.plan, fields, time_ms, widths)
    return dict(zip(view.feature_names, state.values(asked.spans(time_ms), current), strict=True))
