"""Sends transactions on a schedule and reads alerts, on one thread, lighter than two processes."""

from __future__ import annotations

import gc
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from headrace_orchestration.benchmarks.latency import Schedule
from headrace_orchestration.benchmarks.traffic import Event
from headrace_schemas.errors import RetryableError
from headrace_schemas.kafka_clients import unreachable
from headrace_schemas.topics import ALERTS
from headrace_streaming.kafka.sender import producer_config

if TYPE_CHECKING:
    from confluent_kafka import Consumer, Producer

_TIMEOUT_S = 10.0
#: Kafka's clients count in milliseconds: what is due within one is sent together.
_TICK_S = 0.001
_HEAD_START_NS = 100_000_000


@dataclass(frozen=True, slots=True)
class Loop:
    """What happened.

    Attributes:
        schedule: when each event was meant to be sent.
        sent: how many events the broker had taken when the last one was due.
        readable_ns: by the id of an alert, when it could first be read.
    """

    schedule: Schedule
    sent: int
    readable_ns: Mapping[bytes, int]


def run(
    kafka: Mapping[str, str],
    topic: str,
    events: Sequence[Event],
    rate: float,
    patience_s: float,
) -> Loop:
    """Send events at a rate whatever becomes of them, and read the alerts meanwhile.

    Args:
        kafka: the configuration of any client.
        topic: where to.
        events: encoded beforehand.
        rate: events per second.
        patience_s: how long outstanding alerts are waited for at the end.

    Raises:
        RetryableError: the broker refuses an event or doesn't answer.
    """
    from confluent_kafka import Producer

    producer = Producer({**producer_config(kafka), "queue.buffering.max.messages": len(events)})
    with _alerts(kafka) as consumer, _without_pauses():
        schedule = Schedule(time.monotonic_ns() + _HEAD_START_NS, rate)
        readable: dict[bytes, int] = {}
        done = 0
        while done < len(events):
            due = min(schedule.count_due(time.monotonic_ns()), len(events))
            for event in events[done:due]:
                producer.produce(topic, event.value, event.key)
            done = due
            producer.poll(0)
            _read(consumer, readable)
        sent = done - len(producer)
        awaited = {event.flagged for event in events if event.flagged is not None}
        deadline = time.monotonic() + patience_s
        while not awaited <= readable.keys() and time.monotonic() < deadline:
            producer.poll(0)
            _read(consumer, readable)
        _flush(producer, kafka)
    return Loop(schedule, sent, readable)


def _read(consumer: Consumer, readable_ns: dict[bytes, int]) -> None:
    """Note the alerts that are there; wait a moment for one if there is none."""
    message = consumer.poll(_TICK_S)
    while message is not None:
        key = message.key()
        if message.error() is None and key is not None:
            # One that a restart of the job repeats was readable before.
            readable_ns.setdefault(bytes(key), time.monotonic_ns())
        message = consumer.poll(0)


@contextmanager
def _alerts(kafka: Mapping[str, str]) -> Iterator[Consumer]:
    """A consumer of the alerts from now on, which has begun to fetch."""
    from confluent_kafka import Consumer, KafkaException, TopicPartition

    consumer = Consumer({**kafka, "group.id": "headrace-bench", "enable.auto.commit": False})
    try:
        found = consumer.list_topics(ALERTS, timeout=_TIMEOUT_S).topics[ALERTS].partitions
        places = [TopicPartition(ALERTS, number) for number in found]
        for place in places:
            place.offset = consumer.get_watermark_offsets(place, timeout=_TIMEOUT_S)[1]
        consumer.assign(places)
        consumer.poll(_TICK_S)
        yield consumer
    except KafkaException as error:
        raise unreachable(kafka["bootstrap.servers"]) from error
    finally:
        consumer.close()


@contextmanager
def _without_pauses() -> Iterator[None]:
    """Let no collection of garbage, of which there is next to none, hold the schedule up."""
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def _flush(producer: Producer, kafka: Mapping[str, str]) -> None:
    if producer.flush(_TIMEOUT_S):
        raise RetryableError(
            f"the broker at {kafka['bootstrap.servers']} did not take all events",
            hint="the rate may be far above what this machine can do",
        )
