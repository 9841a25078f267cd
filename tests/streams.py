"""The stream job of a test, a broker alone, and records in and out of its topics."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from confluent_kafka import Consumer, Message, Producer, TopicPartition
from confluent_kafka.admin import AdminClient

from headrace_features.embedded import Service
from headrace_features.project import load_project
from headrace_schemas.settings import Settings, load
from headrace_streaming.job import deployment
from headrace_streaming.kafka.clients import kafka_config
from headrace_streaming.kafka.reading import ends
from headrace_streaming.services import control
from headrace_streaming.services.embedded import locked

#: How long a test waits for what the stream has to do.
PATIENCE_S = 90.0


def headrace(
    home: Path, *arguments: str, folder: Path | None = None, check: bool = True
) -> subprocess.CompletedProcess[str]:
    """Run the command, with its data in a folder; the built-in project unless one is named."""
    done = subprocess.run(
        [str(Path(sys.executable).with_name("headrace")), *arguments],
        cwd=folder or home,
        env={**os.environ, "HEADRACE_HOME": str(home), "COLUMNS": "200"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert not check or done.returncode == 0, done.stdout[-2000:] + done.stderr
    return done


def deploy(settings: Settings, **options: Any) -> deployment.Deployment:
    """Deploy the built-in project's job on the cluster of a test."""
    environ = {**os.environ, "HEADRACE_HOME": str(settings.home)}
    return deployment.deploy(settings, load_project(settings), environ, **options)


@contextmanager
def broker_in(home: Path) -> Iterator[dict[str, str]]:
    """The embedded broker, without a cluster; the properties of its clients."""
    with locked(home):
        control._start(home, Service.KAFKA, os.environ, {})
        assert control._comes(home, Service.KAFKA)
    try:
        yield kafka_config(load(home, {"HEADRACE_HOME": str(home)}))
    finally:
        control.down(home)


def send(
    config: Mapping[str, str], topic: str, records: Iterable[tuple[str, bytes | None]]
) -> None:
    """Put records of a key and a value into a topic, and wait until they are there."""
    # By Java's rule, so that records of one key are where the job puts them.
    rule = {"partitioner": "murmur2_random"}
    producer = Producer({**config, **rule, "enable.idempotence": True, "linger.ms": 5})
    for key, value in records:
        producer.produce(topic, value, key.encode())
        producer.poll(0)
    assert producer.flush(30) == 0


def send_events(
    config: Mapping[str, str], topic: str, key: str, events: Sequence[Mapping[str, Any]]
) -> None:
    """Put events into a topic, keyed by one of their columns."""
    send(config, topic, ((str(event[key]), json.dumps(event).encode()) for event in events))


def received(config: Mapping[str, str], topic: str, wanted: int) -> list[Message]:
    """The committed records of a topic, once there are as many as wanted."""
    consumer = Consumer(
        {
            **config,
            "group.id": f"test-{uuid.uuid4()}",
            "auto.offset.reset": "earliest",
            "isolation.level": "read_committed",
        }
    )
    consumer.subscribe([topic])
    found: list[Message] = []
    deadline = time.monotonic() + PATIENCE_S
    try:
        while len(found) < wanted and time.monotonic() < deadline:
            found.extend(m for m in consumer.consume(1000, 0.5) if m.error() is None)
        # What comes beyond the wanted number comes soon.
        found.extend(m for m in consumer.consume(1000, 2.0) if m.error() is None)
    finally:
        consumer.close()
    assert len(found) >= wanted, f"{len(found)} of {wanted} records in {topic}"
    return found


def decisions(config: Mapping[str, str], wanted: int) -> list[dict[str, Any]]:
    """The committed decisions, once there are as many as wanted."""
    return [json.loads(m.value() or b"") for m in received(config, "decisions", wanted)]


def delete_half(config: Mapping[str, str], topic: str) -> int:
    """Delete the older half of each partition, as retention does; returns how many records."""
    middle = {number: end // 2 for number, (_, end) in ends(config, topic).items() if end}
    places = [TopicPartition(topic, number, offset) for number, offset in middle.items()]
    admin = AdminClient(dict(config))
    for future in admin.delete_records(places).values():
        future.result(30)
    return sum(middle.values())
