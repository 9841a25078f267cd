"""Sends events that are pushed: few at a time, by many threads, each push acknowledged."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from headrace_schemas.errors import BadRecordError, HeadraceError, RetryableError
from headrace_schemas.kafka_clients import unreachable
from headrace_schemas.reasons import Reason
from headrace_streaming.kafka.clients import kafka_config
from headrace_streaming.kafka.sender import hand_over, producer_config
from headrace_streaming.kafka.topics import create_topics, topics_of

if TYPE_CHECKING:
    from confluent_kafka import KafkaError, Message, Producer

    from headrace_features.definitions.sources import EventSource
    from headrace_features.project import Project
    from headrace_features.senders import Ready
    from headrace_schemas.settings import Settings

#: After so long the producer gives a record up, and says so.
_TIMEOUT_MS = 20_000
#: How long one waits for another that connects.
_PATIENCE_S = 5.0
#: Any thread's turn may bring what another waits for: it looks again so soon.
_TURN_S = 0.005
_MOST_BYTES = "message.max.bytes"
#: What librdkafka takes by itself, some of it for what surrounds a value.
_USUAL_MOST_BYTES = 1_000_000
_AROUND_BYTES = 1_024


class KafkaSender:
    """Sends to the topics of sources as `headrace send` does, by one producer of a process."""

    def __init__(self, settings: Settings, project: Project) -> None:
        """Name what is sent to; nothing is connected yet."""
        self._settings = settings
        self._topics = topics_of(project)
        self._keys = {topic.name: topic.key for topic in self._topics}
        most = int(settings.kafka.options.get(_MOST_BYTES, _USUAL_MOST_BYTES))
        self._most_bytes = most - _AROUND_BYTES
        self._lock = threading.Lock()
        self._made: tuple[int, Producer, str] | None = None

    def send(self, source: EventSource, events: Sequence[Ready]) -> None:
        """Send events to the topic of their source; all of them are there when this returns.

        Raises:
            BadRecordError: an event is larger than a producer sends; none was sent.
            RetryableError: the broker doesn't answer, or didn't take all of them.
            ConfigurationError: the topics aren't what they have to be.
        """
        self._require_small(source, events)
        producer, servers = self._producer()
        key = self._keys[source.topic]
        told = _Told(len(events))
        for event, value in events:
            keyed = str(getattr(event, key)).encode()
            hand_over(producer, told.note, source.topic, value, keyed)
        told.wait(producer)
        if told.refused is not None or told.open:
            # One that has failed may never work again; and a topic may have been deleted.
            self._forget(producer)
            raise _lost(told, servers)

    def _require_small(self, source: EventSource, events: Sequence[Ready]) -> None:
        for event, value in events:
            if len(value) > self._most_bytes:
                name = getattr(event, source.dedup_key)
                raise BadRecordError(
                    Reason.TOO_LARGE,
                    f"the event {name} has {len(value):,} bytes, expected at most"
                    f" {self._most_bytes:,}",
                    hint="none of the events was sent",
                )

    def _producer(self) -> tuple[Producer, str]:
        from confluent_kafka import Producer

        # Not for ever behind others that find no broker.
        if not self._lock.acquire(timeout=_PATIENCE_S):
            raise unreachable(self._settings.kafka.bootstrap_servers)
        try:
            if self._made is None or self._made[0] != os.getpid():
                config = kafka_config(self._settings)
                create_topics(config, self._topics)
                options = {**producer_config(config), "message.timeout.ms": _TIMEOUT_MS}
                self._made = (os.getpid(), Producer(options), config["bootstrap.servers"])
            return self._made[1], self._made[2]
        finally:
            self._lock.release()

    def _forget(self, producer: Producer) -> None:
        with self._lock:
            if self._made is not None and self._made[1] is producer:
                self._made = None


class _Told:
    """What the broker has said about the records of one push."""

    def __init__(self, records: int) -> None:
        self.records = records
        self.open = records
        self.refused: KafkaError | None = None
        self._lock = threading.Lock()

    def note(self, error: KafkaError | None, message: Message | None) -> None:
        """What became of a record; whichever thread hears it."""
        del message
        with self._lock:
            self.open -= 1
            self.refused = self.refused or error

    def wait(self, producer: Producer) -> None:
        """Wait until all records are told of."""
        deadline = time.monotonic() + 1.5 * _TIMEOUT_MS / 1000
        while self.open and time.monotonic() < deadline:
            producer.poll(_TURN_S)


def _lost(told: _Told, servers: str) -> HeadraceError:
    from confluent_kafka import KafkaError

    refused = told.refused
    # Only these are said of a broker that isn't there.
    silent = (KafkaError._MSG_TIMED_OUT, KafkaError._TRANSPORT)  # noqa: SLF001 - their names
    if refused is None or refused.code() in silent:
        return unreachable(servers)
    return RetryableError(
        f"the broker refused a record: {refused.str()}",
        hint="push the events again: those that it took are known by their keys",
    )
