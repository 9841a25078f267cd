"""The newest records of a topic, and those that come after them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING

from headrace_schemas.kafka_clients import unreachable
from headrace_streaming.kafka.positions import reader, record_of
from headrace_streaming.kafka.reading import ends, records_now

if TYPE_CHECKING:
    from confluent_kafka import KafkaError, Message

_LEAST_BACK = 1_000
_FURTHER = 8
_POLL_S = 0.5
_PATIENCE_S = 30.0


@dataclass(frozen=True, slots=True)
class Tail:
    """The newest records that were wanted, the oldest first, and where the next ones begin."""

    records: tuple[Message, ...]
    next: Mapping[int, int]


def newest(
    config: Mapping[str, str],
    topic: str,
    most: int,
    wanted: Callable[[Message], bool],
    *,
    rare: bool = False,
) -> Tail:
    """The newest records of a topic that are wanted.

    It looks further and further back until every partition has given as many, or all it has.

    Args:
        config: of Kafka's clients.
        topic: which.
        most: how many at most.
        wanted: whether a record is.
        rare: whether too few are wanted for it to begin near the end.

    Raises:
        ConfigurationError: there is no such topic.
        RetryableError: the broker doesn't answer, or has stopped to.
    """
    held = ends(config, topic)
    back = max(most, _LEAST_BACK)
    while True:
        starts = {
            number: first if rare else max(first, end - back)
            for number, (first, end) in held.items()
        }
        found: list[Message] = []
        given: Counter[int] = Counter()
        for batch in records_now(config, topic, starts=starts):
            for message in batch:
                partition, offset = record_of(message)
                if offset < held[partition][1] and wanted(message):
                    found.append(message)
                    given[partition] += 1
        if all(given[p] >= most or starts[p] == first for p, (first, _) in held.items()):
            break
        back *= _FURTHER
    found.sort(key=lambda message: message.timestamp()[1])
    return Tail(tuple(found[-most:]), {number: end for number, (_, end) in held.items()})


def following(
    config: Mapping[str, str], topic: str, starts: Mapping[int, int]
) -> Iterator[Message]:
    """The records of a topic as they come, without an end.

    Args:
        config: of Kafka's clients.
        topic: which.
        starts: by partition the offset of the first.

    Raises:
        RetryableError: no broker can be reached any more.
    """
    from confluent_kafka import KafkaError, KafkaException, TopicPartition

    lost: list[KafkaError] = []

    def note(error: KafkaError) -> None:
        if error.code() == KafkaError._ALL_BROKERS_DOWN:  # noqa: SLF001 - its public name
            lost.append(error)

    with closing(reader({**config, "error_cb": note})) as consumer:
        consumer.assign([TopicPartition(topic, number, at) for number, at in starts.items()])
        while True:
            message = consumer.poll(_POLL_S)
            if message is not None and message.error() is None:
                yield message
            if lost:
                # It tries for ever to come back to a broker, and tells nobody.
                try:
                    consumer.list_topics(topic, timeout=_PATIENCE_S)
                except KafkaException as error:
                    raise unreachable(config["bootstrap.servers"]) from error
                lost.clear()
