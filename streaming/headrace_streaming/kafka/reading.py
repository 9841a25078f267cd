"""Reads what topics hold now, whole, and how far a group of consumers has come."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import closing
from typing import TYPE_CHECKING, Any

from headrace_schemas.errors import ConfigurationError
from headrace_schemas.kafka_clients import unreachable

if TYPE_CHECKING:
    from confluent_kafka import Consumer, KafkaException, Message, TopicPartition

_TIMEOUT_S = 10.0
_BATCH = 20_000
_READING = "headrace-reading"
_PATIENCE_S = 30.0
_POLL_S = 0.1


def records_now(
    config: Mapping[str, str],
    topic: str,
    *,
    starts: Mapping[int, int] | None = None,
    patience_s: float = _PATIENCE_S,
) -> Iterator[list[Message]]:
    """What a topic holds now, a batch at a time, those of a partition in their order.

    Records of a transaction that is open or was aborted are left out.

    Args:
        config: of Kafka's clients.
        topic: which.
        starts: by partition the offset to begin with; without them all that is there is read.
        patience_s: for how long nothing may come.

    Raises:
        ConfigurationError: there is no such topic.
        RetryableError: the broker doesn't answer, or has stopped to.
    """
    with closing(reader(config)) as consumer:
        left = _ends(consumer, config, topic, starts or {})
        heard = time.monotonic()
        while left:
            messages = consumer.consume(_BATCH, 0.5)
            if messages:
                heard = time.monotonic()
            elif time.monotonic() - heard > patience_s:
                # A client tries for ever to come back to a broker, and tells nobody.
                raise unreachable(config["bootstrap.servers"])
            found = []
            for message in messages:
                error = message.error()
                if error is not None and not _is_end(error):
                    raise unreachable(config["bootstrap.servers"])
                partition, offset = record_of(message)
                if error is not None:
                    left.pop(partition, None)
                elif offset < left.get(partition, 0):
                    found.append(message)
                    if offset + 1 == left[partition]:
                        del left[partition]
            if found:
                yield found
                # What others do with them is no silence of the broker.
                heard = time.monotonic()


def reached(config: Mapping[str, str], group: str, topic: str) -> dict[int, int]:
    """By partition, before which offset a group has read all; those it has never told are absent.

    Raises:
        ConfigurationError: there is no such topic.
        RetryableError: the broker doesn't answer.
    """
    from confluent_kafka import TopicPartition

    with closing(reader(config, group)) as consumer:
        places = [TopicPartition(topic, number) for number in _partitions(consumer, config, topic)]
        told = _committed(consumer, config, places)
    return {place.partition: place.offset for place in told if place.offset >= 0}


def ends(config: Mapping[str, str], topic: str) -> dict[int, tuple[int, int]]:
    """By partition, the offset of the oldest record and the one that the next will have.

    Raises:
        ConfigurationError: there is no such topic.
        RetryableError: the broker doesn't answer.
    """
    with closing(reader(config)) as consumer:
        return _watermarks(consumer, config, topic)


def record_of(message: Message) -> tuple[int, int]:
    """The partition and offset of what was read."""
    partition, offset = message.partition(), message.offset()
    if partition is None or offset is None:
        raise TypeError("expected a message that was read")
    return partition, offset


def reader(config: Mapping[str, Any], group: str = _READING) -> Consumer:
    """A consumer of what is committed, which commits nothing itself."""
    from confluent_kafka import Consumer

    return Consumer(
        {
            **config,
            "group.id": group,
            "enable.auto.commit": False,
            "enable.partition.eof": True,
            "isolation.level": "read_committed",
            "log_level": 0,
        }
    )


def _partitions(consumer: Consumer, config: Mapping[str, str], topic: str) -> list[int]:
    from confluent_kafka import KafkaException

    try:
        known = consumer.list_topics(topic, timeout=_TIMEOUT_S).topics[topic]
    except KafkaException as error:
        raise unreachable(config["bootstrap.servers"]) from error
    if known.error is not None or not known.partitions:
        raise ConfigurationError(
            f"there is no topic {topic} at {config['bootstrap.servers']}",
            hint="headrace stream deploy makes the topics of a project",
        )
    return list(known.partitions)


def _ends(
    consumer: Consumer, config: Mapping[str, str], topic: str, starts: Mapping[int, int]
) -> dict[int, int]:
    """Assign the partitions that hold something; returns their ends."""
    from confluent_kafka import OFFSET_BEGINNING, TopicPartition

    held = {
        number: end
        for number, (first, end) in _watermarks(consumer, config, topic).items()
        if max(first, starts.get(number, first)) < end
    }
    consumer.assign(
        [TopicPartition(topic, number, starts.get(number, OFFSET_BEGINNING)) for number in held]
    )
    return held


def _watermarks(
    consumer: Consumer, config: Mapping[str, str], topic: str
) -> dict[int, tuple[int, int]]:
    from confluent_kafka import KafkaException, TopicPartition

    try:
        return {
            number: consumer.get_watermark_offsets(
                TopicPartition(topic, number), timeout=_TIMEOUT_S
            )
            for number in _partitions(consumer, config, topic)
        }
    except KafkaException as error:
        raise unreachable(config["bootstrap.servers"]) from error


def _committed(
    consumer: Consumer, config: Mapping[str, str], places: list[TopicPartition]
) -> list[TopicPartition]:
    from confluent_kafka import KafkaException

    deadline = time.monotonic() + _TIMEOUT_S
    while True:
        try:
            return consumer.committed(places, timeout=_TIMEOUT_S)
        except KafkaException as error:
            # A broker that has just started doesn't know yet who keeps the group's offsets.
            if not _comes_to_it(error) or time.monotonic() > deadline:
                raise unreachable(config["bootstrap.servers"]) from error
        time.sleep(_POLL_S)


def _comes_to_it(error: KafkaException) -> bool:
    from confluent_kafka import KafkaError

    return error.args[0].code() in {
        KafkaError.NOT_COORDINATOR,
        KafkaError.COORDINATOR_NOT_AVAILABLE,
        KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
    }


def _is_end(error: object) -> bool:
    from confluent_kafka import KafkaError

    return isinstance(error, KafkaError) and error.code() == KafkaError._PARTITION_EOF  # noqa: SLF001 - its public name
