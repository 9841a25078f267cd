"""How fresh an answer is: what its layers hold, and what its windows looked at."""

from __future__ import annotations

import msgspec

from headrace_features.definitions.windows import BEGINNING_MS
from headrace_features.online.layers import NEVER_MS, Layers
from headrace_features.online.serving import Answer, ViewAnswer


class LayerFreshness(msgspec.Struct, frozen=True, kw_only=True):
    """What one layer holds. All times are ms UTC.

    Attributes:
        since: the layer has all events from this event time on; None is since ever. Of the stream
            layer only.
        current: the layer has all events that were sent by then; None if that isn't known. Of the
            stream layer only.
        event_time: the batch layer has the events before it; it is the greatest event time in the
            stream layer. None if the stream layer has none.
        written: when it was last written; the batch layer has what there was then.
    """

    since: int | None = None
    current: int | None = None
    event_time: int | None
    written: int


class FeatureFreshness(msgspec.Struct, frozen=True, kw_only=True):
    """What the value of one feature looked at. All times are ms UTC.

    Attributes:
        first, last: the span of event time, closed on both sides; None is since ever. A session
            looks as far back as a gap before its first event.
        complete: whether all of its events are in a layer.
    """

    first: int | None
    last: int
    complete: bool


class Freshness(msgspec.Struct, frozen=True, kw_only=True):
    """How fresh the values of one view for one entity are.

    Attributes:
        as_of: the query time, ms UTC.
        batch, stream: the layers; None for one that isn't there.
        features: by name.
    """

    as_of: int
    batch: LayerFreshness | None
    stream: LayerFreshness | None
    features: dict[str, FeatureFreshness]


def freshness_of(answered: ViewAnswer, answer: Answer, time_ms: int) -> Freshness:
    """How fresh one answer is."""
    batch, stream = _layers(answered.layers)
    features = {}
    for window, (first_ms, last_ms) in zip(answered.view.asked.windows, answer.spans, strict=True):
        for _, chosen in window.partials:
            for at, feature in chosen:
                features[feature.name] = FeatureFreshness(
                    first=None if first_ms <= BEGINNING_MS else first_ms,
                    last=last_ms,
                    complete=answer.incomplete is None or not answer.incomplete[at],
                )
    return Freshness(as_of=time_ms, batch=batch, stream=stream, features=features)


def _layers(layers: Layers) -> tuple[LayerFreshness | None, LayerFreshness | None]:
    batch = stream = None
    if layers.batch is not None:
        batch = LayerFreshness(event_time=layers.boundary_ms, written=layers.batch.written_ms)
    if layers.stream is not None and layers.stream.since_ms < NEVER_MS:
        span = layers.stream
        stream = LayerFreshness(
            since=None if span.since_ms <= BEGINNING_MS else span.since_ms,
            current=span.current_ms or None,
            event_time=None if span.event_time_ms <= BEGINNING_MS else span.event_time_ms,
            written=span.written_ms,
        )
    return batch, stream
