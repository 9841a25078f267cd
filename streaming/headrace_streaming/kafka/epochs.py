"""Numbers of deployments: rising, unique on a broker, given out by the broker itself."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from headrace_schemas.kafka_clients import unreachable
from headrace_schemas.topics import DEPLOYMENTS
from headrace_streaming.kafka.reading import records_now

_TIMEOUT_S = 10.0


class Announcement(msgspec.Struct, frozen=True, kw_only=True):
    """What a deployment tells of itself.

    Attributes:
        project: whose job it is.
        mode: when events are absorbed.
        restored_from: the state that it goes on from; None begins anew.
    """

    project: str
    mode: str
    restored_from: str | None = None


class Deployed(msgspec.Struct, frozen=True):
    """A deployment: its number, when it was announced (ms UTC), and what it told."""

    epoch: int
    at_ms: int
    told: Announcement


def claim_epoch(config: Mapping[str, str], announcement: Announcement) -> int:
    """The number of a new deployment: the offset of the record that announces it, from 1.

    Raises:
        RetryableError: the broker doesn't take the record.
    """
    from confluent_kafka import KafkaError, Message, Producer

    claimed: list[int] = []

    def note(error: KafkaError | None, message: Message) -> None:
        offset = message.offset()
        if error is None and offset is not None:
            claimed.append(offset + 1)

    producer = Producer({**config, "acks": "all", "log_level": 0})
    announced = msgspec.json.encode(announcement)
    producer.produce(DEPLOYMENTS, announced, announcement.project.encode(), on_delivery=note)
    producer.flush(_TIMEOUT_S)
    if not claimed:
        raise unreachable(config["bootstrap.servers"])
    return claimed[0]


def deployments(config: Mapping[str, str], project: str) -> list[Deployed]:
    """The deployments of a project, in their order.

    Raises:
        ConfigurationError: the broker has no topic of deployments.
        RetryableError: it doesn't answer.
    """
    found = []
    for batch in records_now(config, DEPLOYMENTS):
        for message in batch:
            told = msgspec.json.decode(message.value() or b"")
            # Others tell that a deployment has begun to work.
            if told.get("project") == project:
                announcement = msgspec.convert(told, Announcement)
                epoch = (message.offset() or 0) + 1
                found.append(Deployed(epoch, message.timestamp()[1], announcement))
    return found
