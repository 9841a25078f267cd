"""Reads what a contender has decided: each transaction once, with features that can be compared."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from zlib import crc32

from headrace_schemas.errors import HeadraceError
from headrace_schemas.kafka_clients import unreachable

if TYPE_CHECKING:
    from confluent_kafka import Message

Features = Mapping[str, Any]

_BATCH = 10_000
_TIMEOUT_S = 10.0
_ONE_IN = 100
_TOLERANCE = 1e-9


@dataclass(frozen=True, slots=True)
class Output:
    """What a topic holds.

    Attributes:
        records: how many there are.
        ids: how many different ones.
        sampled: the features of a hundredth of them, chosen by the id, by the id.
    """

    records: int
    ids: int
    sampled: Mapping[bytes, Features]

    def require_each_once(self, wanted: int, contender: str) -> None:
        """See that every transaction was decided, and none twice.

        Raises:
            HeadraceError: it is not so.
        """
        if not wanted == self.ids == self.records:
            raise HeadraceError(
                f"{contender} made {self.records} decisions on {self.ids} transactions,"
                f" expected one on each of {wanted}"
            )


def read_output(
    kafka: Mapping[str, str],
    topic: str,
    starts: Mapping[int, int],
    features: Callable[[Mapping[str, Any]], Features],
) -> Output:
    """Read the committed records of a topic from some offsets to the end.

    Args:
        kafka: the configuration of any client.
        topic: which.
        starts: by the partition, the offset of the first record.
        features: takes them from a record.
    """
    from confluent_kafka import Consumer, TopicPartition

    records = 0
    ids: set[bytes] = set()
    sampled: dict[bytes, Features] = {}
    consumer = Consumer(
        {
            **kafka,
            "group.id": "headrace-bench-output",
            "enable.auto.commit": False,
            "enable.partition.eof": True,
            "isolation.level": "read_committed",
        }
    )
    try:
        consumer.assign([TopicPartition(topic, *start) for start in starts.items()])
        open_partitions = set(starts)
        while open_partitions:
            messages = consumer.consume(_BATCH, _TIMEOUT_S)
            if not messages:
                # A client tries for ever to come back to a broker.
                raise unreachable(kafka["bootstrap.servers"])
            for message in messages:
                key, value = message.key(), message.value()
                if message.error() is not None:
                    open_partitions.discard(_ended(message))
                elif key is not None and value is not None:
                    records += 1
                    ids.add(bytes(key))
                    if crc32(key) % _ONE_IN == 0:
                        sampled[bytes(key)] = features(json.loads(value))
    finally:
        consumer.close()
    return Output(records, len(ids), sampled)


def _ended(message: Message) -> int | None:
    from confluent_kafka import KafkaError, KafkaException

    error = message.error()
    if error is not None and error.code() != KafkaError._PARTITION_EOF:  # noqa: SLF001 - its name
        raise KafkaException(error)
    return message.partition()


def require_equal(ours: Output, theirs: Output) -> int:
    """See that two contenders gave the same features, numbers within 1e-9; returns how many.

    Raises:
        HeadraceError: they differ.
    """
    for key, expected in ours.sampled.items():
        found = theirs.sampled.get(key, {})
        for name, value in expected.items():
            if not _alike(value, found.get(name)):
                raise HeadraceError(
                    f"{name} of {key.decode()} is {value} here and {found.get(name)} at the peer"
                )
    return len(ours.sampled)


def _alike(one: Any, other: Any) -> bool:
    if isinstance(one, int | float) and isinstance(other, int | float):
        return math.isclose(one, other, rel_tol=_TOLERANCE, abs_tol=_TOLERANCE)
    return bool(one == other)
