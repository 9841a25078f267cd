"""Where topics end and how far a group of consumers is with them, over connections that stay."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from headrace_schemas.errors import ConfigurationError, RetryableError
from headrace_schemas.kafka_clients import unreachable

if TYPE_CHECKING:
    from confluent_kafka import Consumer, KafkaException, Message, TopicPartition

_TIMEOUT_S = 10.0
_POLL_S = 0.1
_READING = "headrace-reading"


class Positions:
    """Looks at topics, and at what one group has told of them; for one thread.

    Every method raises ConfigurationError if there is no such topic, and RetryableError if the
    broker doesn't answer.
    """

    def __init__(self, config: Mapping[str, str], group: str = _READING) -> None:
        """Name broker and group; nothing is sent yet."""
        self._servers = config["bootstrap.servers"]
        self._consumer = reader(config, group)
        self._reached: dict[str, dict[int, int]] = {}

    def ends(self, topic: str) -> dict[int, tuple[int, int]]:
        """By partition, the offset of the oldest record and the one that the next will have."""
        from confluent_kafka import KafkaException, TopicPartition

        try:
            return {
                number: self._consumer.get_watermark_offsets(
                    TopicPartition(topic, number), timeout=_TIMEOUT_S
                )
                for number in self._partitions(topic)
            }
        except KafkaException as error:
            raise unreachable(self._servers) from error

    def next_offsets(self, topic: str) -> dict[int, int]:
        """By partition, the offset that the next record will have."""
        return {number: end for number, (_, end) in self.ends(topic).items()}

    def reached(self, topic: str) -> dict[int, int]:
        """By partition, before which offset the group has read all; absent where it never told."""
        from confluent_kafka import TopicPartition

        places = [TopicPartition(topic, number) for number in self._partitions(topic)]
        return {one.partition: one.offset for one in self._committed(places) if one.offset >= 0}

    def has_read(self, topic: str, ends: Mapping[int, int]) -> bool:
        """Whether the group has read all records before some offsets.

        Offsets without a record are told by nobody: transactions have some. They are looked for
        once a group that is behind doesn't get on any more.
        """
        before, reached = self._reached.get(topic), self.reached(topic)
        self._reached[topic] = reached
        behind = {number: end for number, end in ends.items() if reached.get(number, 0) < end}
        if not behind:
            return True
        if before != reached:
            return False
        oldest = {number: first for number, (first, _) in self.ends(topic).items()}
        for number, end in behind.items():
            start = max(reached.get(number, 0), oldest.get(number, 0))
            if start < end and (found := self.first_from(topic, number, start)) is not None:
                _, offset = record_of(found)
                if offset < end:
                    return False
        return True

    def since(self, topic: str, time_ms: int) -> dict[int, int]:
        """By partition, the offset of the first record that was sent since a time, ms UTC."""
        from confluent_kafka import KafkaException, TopicPartition

        places = [TopicPartition(topic, number, time_ms) for number in self._partitions(topic)]
        try:
            found = self._consumer.offsets_for_times(places, timeout=_TIMEOUT_S)
        except KafkaException as error:
            raise unreachable(self._servers) from error
        ends = self.ends(topic)
        return {
            one.partition: one.offset if one.offset >= 0 else ends[one.partition][1]
            for one in found
        }

    def first_from(self, topic: str, partition: int, offset: int) -> Message | None:
        """The first record of a partition from an offset on; None where there is none."""
        from confluent_kafka import TopicPartition

        self._consumer.assign([TopicPartition(topic, partition, offset)])
        try:
            deadline = time.monotonic() + _TIMEOUT_S
            while time.monotonic() < deadline:
                message = self._consumer.poll(_POLL_S)
                if message is None:
                    continue
                if is_end(message):
                    return None
                if message.error() is not None:
                    raise unreachable(self._servers)
                return message
        finally:
            self._consumer.unassign()
        raise RetryableError(
            f"the broker gives no record of {topic}/{partition} within {_TIMEOUT_S:.0f} s"
        )

    def close(self) -> None:
        """End the connections."""
        self._consumer.close()

    def _partitions(self, topic: str) -> list[int]:
        from confluent_kafka import KafkaException

        try:
            known = self._consumer.list_topics(topic, timeout=_TIMEOUT_S).topics[topic]
        except KafkaException as error:
            raise unreachable(self._servers) from error
        if known.error is not None or not known.partitions:
            raise ConfigurationError(
                f"there is no topic {topic} at {self._servers}",
                hint="headrace stream deploy makes the topics of a project",
            )
        return list(known.partitions)

    def _committed(self, places: list[TopicPartition]) -> list[TopicPartition]:
        from confluent_kafka import KafkaException

        deadline = time.monotonic() + _TIMEOUT_S
        while True:
            try:
                return self._consumer.committed(places, timeout=_TIMEOUT_S)
            except KafkaException as error:
                # A broker that has just started doesn't know yet who keeps the group's offsets.
                if not _comes_to_it(error) or time.monotonic() > deadline:
                    raise unreachable(self._servers) from error
            time.sleep(_POLL_S)


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


def is_end(message: Message) -> bool:
    """Whether it says that a partition has no more, instead of being a record."""
    from confluent_kafka import KafkaError

    error = message.error()
    return error is not None and error.code() == KafkaError._PARTITION_EOF  # noqa: SLF001 - its public name


def record_of(message: Message) -> tuple[int, int]:
    """The partition and offset of what was read."""
    partition, offset = message.partition(), message.offset()
    if partition is None or offset is None:
        raise TypeError("expected a message that was read")
    return partition, offset


def _comes_to_it(error: KafkaException) -> bool:
    from confluent_kafka import KafkaError

    return error.args[0].code() in {
        KafkaError.NOT_COORDINATOR,
        KafkaError.COORDINATOR_NOT_AVAILABLE,
        KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
    }
