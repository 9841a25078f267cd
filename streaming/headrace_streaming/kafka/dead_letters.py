"""Records that the stream could not use: looked at, and sent again once the cause is mended."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING

from headrace_schemas.kafka_clients import unreachable
from headrace_schemas.topics import DEAD_LETTERS

if TYPE_CHECKING:
    from confluent_kafka import Consumer, Message

_TIMEOUT_S = 10.0
_BATCH = 500
#: The group whose offsets say what was sent again already.
_REPLAYED = "headrace-deadletters-replay"
_LOOKING = "headrace-deadletters-list"


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A record as it was, where it was, and why it could not be used.

    Attributes:
        source: the event source whose topic it was in.
        topic: that topic.
        partition: its partition there.
        offset: its offset there.
        timestamp_ms: when it was sent, ms UTC.
        told_ms: when the stream put it aside, ms UTC.
        schema: the contract that it breaks.
        reason: a code of the contracts.
        message: the reason in words.
        key: the key of the record, if it had one.
        value: its bytes.
    """

    source: str
    topic: str
    partition: int
    offset: int
    timestamp_ms: int
    told_ms: int
    schema: str
    reason: str
    message: str
    key: bytes | None
    value: bytes


def dead_letters(config: Mapping[str, str]) -> Iterator[DeadLetter]:
    """All that are there now, those of a partition in their order.

    Raises:
        RetryableError: the broker doesn't answer.
    """
    with closing(_consumer(config, _LOOKING)) as consumer:
        for message in _until_now(consumer, config, committed=False):
            yield _letter(message)


def replay(config: Mapping[str, str], reason: str | None = None) -> int:
    """Send them to their topics again, each once however often this is called.

    Args:
        config: of Kafka's clients.
        reason: only those with this reason; the others count as done as well.

    Returns:
        How many were sent.

    Raises:
        RetryableError: the broker doesn't answer, or doesn't take them.
    """
    from confluent_kafka import Producer

    producer = Producer({**config, "enable.idempotence": True, "log_level": 0})
    sent = 0
    with closing(_consumer(config, _REPLAYED)) as consumer:
        for message in _until_now(consumer, config, committed=True):
            letter = _letter(message)
            if reason is None or letter.reason == reason:
                producer.produce(letter.topic, letter.value, letter.key)
                producer.poll(0)
                sent += 1
        if producer.flush(_TIMEOUT_S):
            raise unreachable(config["bootstrap.servers"])
        # Only now: a crash before it sends some twice, which the stream recognises.
        _commit(consumer)
    return sent


def _consumer(config: Mapping[str, str], group: str) -> Consumer:
    from confluent_kafka import Consumer

    return Consumer(
        {
            **config,
            "group.id": group,
            "enable.auto.commit": False,
            "auto.offset.reset": "earliest",
            "log_level": 0,
        }
    )


def _until_now(
    consumer: Consumer, config: Mapping[str, str], *, committed: bool
) -> Iterator[Message]:
    """What lies between the group's offsets, or the beginning, and the present end."""
    from confluent_kafka import KafkaException, TopicPartition

    try:
        topic = consumer.list_topics(DEAD_LETTERS, timeout=_TIMEOUT_S).topics[DEAD_LETTERS]
        places = [TopicPartition(DEAD_LETTERS, number) for number in topic.partitions]
        left: dict[int, int] = {}
        starts = []
        done = consumer.committed(places, timeout=_TIMEOUT_S) if committed else places
        for place in done:
            first, end = consumer.get_watermark_offsets(place, timeout=_TIMEOUT_S)
            start = max(first, place.offset) if committed else first
            starts.append(TopicPartition(DEAD_LETTERS, place.partition, start))
            if start < end:
                left[place.partition] = end
    except KafkaException as error:
        raise unreachable(config["bootstrap.servers"]) from error
    consumer.assign(starts)
    while left:
        for message in consumer.consume(_BATCH, 1.0):
            partition, offset = message.partition(), message.offset()
            if message.error() is not None or partition is None or offset is None:
                continue
            if offset < left.get(partition, 0):
                yield message
            if offset + 1 >= left.get(partition, 0):
                left.pop(partition, None)


def _commit(consumer: Consumer) -> None:
    from confluent_kafka import TopicPartition

    reached = [
        place
        for place in consumer.position(
            [TopicPartition(DEAD_LETTERS, p.partition) for p in consumer.assignment()]
        )
        if place.offset >= 0
    ]
    if reached:
        consumer.commit(offsets=reached, asynchronous=False)


def _letter(message: Message) -> DeadLetter:
    headers: Iterable[tuple[str, bytes]] = message.headers() or ()  # type: ignore[assignment] # pairs, when read
    told = {
        name.removeprefix("headrace."): value.decode(errors="replace") for name, value in headers
    }
    return DeadLetter(
        source=told["source"],
        topic=told["topic"],
        partition=int(told["partition"]),
        offset=int(told["offset"]),
        timestamp_ms=int(told["timestamp"]),
        told_ms=message.timestamp()[1],
        schema=told["schema"],
        reason=told["reason"],
        message=told["message"],
        key=message.key(),
        value=message.value() or b"",
    )
