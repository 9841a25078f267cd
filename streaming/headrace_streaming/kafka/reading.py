"""Reads what topics hold now, whole, and how far a group of consumers has come."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import closing
from typing import TYPE_CHECKING

from headrace_schemas.kafka_clients import unreachable
from headrace_streaming.kafka.positions import Positions, is_end, reader, record_of

if TYPE_CHECKING:
    from confluent_kafka import Message

_BATCH = 20_000
_PATIENCE_S = 30.0


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
    from confluent_kafka import OFFSET_BEGINNING, TopicPartition

    starts = starts or {}
    left = {
        number: end
        for number, (first, end) in ends(config, topic).items()
        if max(first, starts.get(number, first)) < end
    }
    with closing(reader(config)) as consumer:
        consumer.assign(
            [TopicPartition(topic, number, starts.get(number, OFFSET_BEGINNING)) for number in left]
        )
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
                ended = is_end(message)
                if message.error() is not None and not ended:
                    raise unreachable(config["bootstrap.servers"])
                partition, offset = record_of(message)
                if ended:
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
    with closing(Positions(config, group)) as positions:
        return positions.reached(topic)


def ends(config: Mapping[str, str], topic: str) -> dict[int, tuple[int, int]]:
    """By partition, the offset of the oldest record and the one that the next will have.

    Raises:
        ConfigurationError: there is no such topic.
        RetryableError: the broker doesn't answer.
    """
    with closing(Positions(config)) as positions:
        return positions.ends(topic)


def next_offsets(config: Mapping[str, str], topic: str) -> dict[int, int]:
    """By partition, the offset that the next record will have; see `ends`."""
    with closing(Positions(config)) as positions:
        return positions.next_offsets(topic)
