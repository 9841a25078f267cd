"""The events that a view's state in the stream lacks, as the job noted them in `late-events`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import closing
from typing import TYPE_CHECKING

import msgspec

from headrace_features.engines import Missed
from headrace_features.online.served import entity_key
from headrace_schemas.topics import LATE_EVENTS
from headrace_streaming.kafka.clients import kafka_config
from headrace_streaming.kafka.positions import Positions
from headrace_streaming.kafka.reading import records_now

if TYPE_CHECKING:
    from headrace_features.definitions.views import FeatureView
    from headrace_schemas.settings import Settings

#: What is noted for other reasons is in the state, or was before.
_LACKING = frozenset({"too_old", "state_full", "update_too_large"})


class _Noted(msgspec.Struct):
    reason: str
    view: str | None
    event_time: int
    available_at: int


def missed_events(settings: Settings, view: FeatureView, since_ms: int) -> Mapping[bytes, Missed]:
    """By entity the earliest event that the stream's state of a view lacks.

    Args:
        settings: which broker.
        view: whose state.
        since_ms: from when on events and what was noted of them count, ms UTC. An event can't have
            been noted before it happened.

    Raises:
        ConfigurationError: nothing was ever deployed.
        RetryableError: the broker doesn't answer.
    """
    found: dict[bytes, Missed] = {}
    for entity, event in _noted(settings, view, since_ms):
        first = found.get(entity, event)
        found[entity] = Missed(*map(min, first, event))
    return found


def _noted(settings: Settings, view: FeatureView, since_ms: int) -> Iterator[tuple[bytes, Missed]]:
    kafka, key = kafka_config(settings), view.entity.join_key
    with closing(Positions(kafka)) as positions:
        starts = positions.since(LATE_EVENTS, since_ms)
    for messages in records_now(kafka, LATE_EVENTS, starts=starts):
        for message in messages:
            content = message.value() or b""
            noted = _read.decode(content)
            if noted.view != view.name or noted.reason not in _LACKING:
                continue
            if noted.event_time >= since_ms:
                entity = msgspec.json.decode(content)[key]
                yield entity_key(entity), Missed(noted.event_time, noted.available_at)


_read = msgspec.json.Decoder(_Noted)
