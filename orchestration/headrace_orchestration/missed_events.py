"""The events that a view's state in the stream lacks, as its job noted them in `late-events`.

Until a namespace was promoted, its job noted them in a topic apart.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import closing
from itertools import chain
from typing import TYPE_CHECKING

import msgspec

from headrace_features.engines import Missed
from headrace_features.online.served import entity_key
from headrace_orchestration.output import say
from headrace_schemas.errors import HeadraceError
from headrace_schemas.topics import LATE_EVENTS, topic_apart
from headrace_streaming.kafka.clients import kafka_config
from headrace_streaming.kafka.positions import Positions
from headrace_streaming.kafka.reading import records_now
from headrace_streaming.kafka.topics import existing_topics

if TYPE_CHECKING:
    from confluent_kafka import Message

    from headrace_features.definitions.views import FeatureView
    from headrace_schemas.settings import Settings

#: What is noted for other reasons is in the state, or was before.
_LACKING = frozenset({"too_old", "state_full", "update_too_large"})


class _Noted(msgspec.Struct):
    source: str
    reason: str
    view: str | None
    event_time: int
    available_at: int


def missed_by_stream(
    settings: Settings, view: FeatureView
) -> Callable[[int], Mapping[bytes, Missed]]:
    """Tells what the stream's state of a view lacks; nothing, which is said, if no broker does."""

    def missed(since_ms: int) -> Mapping[bytes, Missed]:
        try:
            return missed_events(settings, view, since_ms)
        except HeadraceError as error:
            say(f"the account of healing lacks what the stream has missed: {error}")
            return {}

    return missed


def missed_events(settings: Settings, view: FeatureView, since_ms: int) -> Mapping[bytes, Missed]:
    """By entity the events that the stream's state of a view lacks.

    Args:
        settings: which broker.
        view: whose state.
        since_ms: from when on events and what was noted of them count, ms UTC. An event can't have
            been noted before it happened.

    Raises:
        ConfigurationError: nothing was ever deployed.
        RetryableError: the broker doesn't answer.
    """
    found: dict[bytes, list[tuple[int, int]]] = defaultdict(list)
    for entity, event in _noted(settings, view, since_ms):
        found[entity].append(event)
    return {entity: Missed.of(events) for entity, events in found.items()}


def _noted(
    settings: Settings, view: FeatureView, since_ms: int
) -> Iterator[tuple[bytes, tuple[int, int]]]:
    """Entities, and when events of theirs were and could be known, ms UTC."""
    kafka, key = kafka_config(settings), view.entity.join_key
    for message in _messages(kafka, _topics(settings, view), since_ms):
        content = message.value() or b""
        noted = _read.decode(content)
        if (noted.source, noted.view) != (view.source.name, view.name):
            continue
        if noted.reason in _LACKING and noted.event_time >= since_ms:
            # Other projects may name a view alike.
            entity = msgspec.json.decode(content).get(key)
            if entity is not None:
                yield entity_key(entity), (noted.event_time, noted.available_at)


def _topics(settings: Settings, view: FeatureView) -> list[str]:
    apart = topic_apart(LATE_EVENTS, settings.project.name, view.namespace)
    there = existing_topics(kafka_config(settings)) if view.namespace else {}
    return [LATE_EVENTS, *(one for one in (apart,) if one in there)]


def _messages(kafka: Mapping[str, str], topics: Iterable[str], since_ms: int) -> Iterator[Message]:
    for topic in topics:
        with closing(Positions(kafka)) as positions:
            starts = positions.since(topic, since_ms)
        yield from chain.from_iterable(records_now(kafka, topic, starts=starts))


_read = msgspec.json.Decoder(_Noted)
