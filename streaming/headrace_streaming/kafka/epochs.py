"""Numbers of deployments: rising, unique on a broker, given out by the broker itself."""

from __future__ import annotations

import json
from collections.abc import Mapping

from headrace_schemas.kafka_clients import unreachable
from headrace_schemas.topics import DEPLOYMENTS

_TIMEOUT_S = 10.0


def claim_epoch(config: Mapping[str, str], project: str) -> int:
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
    announced = json.dumps({"project": project}).encode()
    producer.produce(DEPLOYMENTS, announced, project.encode(), on_delivery=note)
    producer.flush(_TIMEOUT_S)
    if not claimed:
        raise unreachable(config["bootstrap.servers"])
    return claimed[0]
