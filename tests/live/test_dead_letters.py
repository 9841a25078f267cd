"""Dead letters on a real broker: each is sent again once, where it was, or stays."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Message, Producer
from confluent_kafka.admin import (  # type: ignore[attr-defined] # they are
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    ResourceType,
)

from headrace_features.embedded import Service
from headrace_features.fraud import definitions as fraud
from headrace_features.project import collect
from headrace_schemas.errors import RetryableError
from headrace_schemas.topics import DEAD_LETTERS
from headrace_streaming.kafka.dead_letters import dead_letters
from headrace_streaming.kafka.positions import record_of
from headrace_streaming.kafka.reading import records_now
from headrace_streaming.kafka.replays import Replay, replay
from headrace_streaming.kafka.topics import create_topics, topics_of
from live_run import process
from streams import broker_in, headrace

TOPIC = "transactions"
NOT_TOLD = Replay(sent=0, foreign=0)


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[dict[str, str]]:
    """A broker with the topics of the built-in project."""
    with broker_in(tmp_path) as config:
        create_topics(config, topics_of(collect("fraud", [fraud])))
        yield config


def headers_of(
    offset: int, reason: str, partition: int, topic: str
) -> list[tuple[str, str | bytes | None]]:
    told = {
        "source": topic,
        "schema": "transaction",
        "schema_version": "0123456789ab",
        "topic": topic,
        "partition": partition,
        "offset": offset,
        "timestamp": 1_600_000_000_000,
        "reason": reason,
        "message": "it has to be otherwise",
    }
    return [(f"headrace.{name}", str(value).encode()) for name, value in told.items()]


def put(  # noqa: PLR0913 - what a letter has
    config: Mapping[str, str],
    offset: int,
    reason: str,
    value: bytes | None = b"{}",
    *,
    partition: int = 0,
    topic: str = TOPIC,
    further: Sequence[tuple[str, bytes]] = (),
) -> None:
    """Put a letter among the others, as the stream does."""
    producer = Producer({**config})
    headers = [*headers_of(offset, reason, partition, topic), *further]
    producer.produce(DEAD_LETTERS, value, f"key-{offset}".encode(), headers=headers)
    assert producer.flush(30) == 0


def come(config: Mapping[str, str], topic: str = TOPIC) -> list[Message]:
    """What a topic has."""
    return [message for batch in records_now(config, topic) for message in batch]


def allow(config: Mapping[str, str], size: int) -> None:
    """Let the topic take records of a size, and no larger ones."""
    limit = ConfigEntry("max.message.bytes", str(size), incremental_operation=AlterConfigOpType.SET)
    changed = ConfigResource(ResourceType.TOPIC, TOPIC, incremental_configs=[limit])
    admin = AdminClient({**config})
    for done in admin.incremental_alter_configs([changed]).values():
        done.result()


def values(config: Mapping[str, str]) -> list[bytes | None]:
    return sorted((message.value() for message in come(config)), key=str)


def test_letters_of_other_reasons_stay_and_each_is_sent_once(broker: dict[str, str]) -> None:
    put(broker, 1, "undecodable", b"1")
    put(broker, 2, "wrong_type", b"2")
    put(broker, 3, "undecodable", b"3")

    assert replay(broker, "wrong_type") == Replay(sent=1, foreign=0)
    assert values(broker) == [b"2"]
    assert replay(broker, "wrong_type") == NOT_TOLD
    assert replay(broker, "undecodable") == Replay(sent=2, foreign=0)
    assert values(broker) == [b"1", b"2", b"3"]
    assert replay(broker) == NOT_TOLD
    # A job that begins anew tells of the same record again.
    put(broker, 3, "undecodable", b"3")
    put(broker, 4, "missing_field", b"4")
    assert replay(broker) == Replay(sent=1, foreign=0)
    assert values(broker) == [b"1", b"2", b"3", b"4"]


def test_the_list_says_what_was_sent_again_and_how_many_are_not_shown(
    broker: dict[str, str], tmp_path: Path
) -> None:
    put(broker, 1, "undecodable", b"1")
    put(broker, 2, "wrong_type", b"2")
    put(broker, 3, "undecodable", b"3")
    assert not any(row["replayed"] for row in listed(tmp_path))
    assert replay(broker, "wrong_type").sent == 1
    assert {row["offset"]: row["replayed"] for row in listed(tmp_path)} == {
        1: False,
        2: True,
        3: False,
    }
    some = headrace(tmp_path, "deadletters", "list", "--limit", "1", "--json")
    assert len(json.loads(some.stdout)) == 1
    assert some.stderr == "2 more are not shown: --limit 3\n"
    for command in ("list", "replay"):
        refused = headrace(tmp_path, "deadletters", command, "--reason", "wrong", check=False)
        assert refused.returncode == 78
        assert "unknown reason 'wrong', did you mean 'wrong_type'?" in refused.stderr


def listed(home: Path) -> list[dict[str, Any]]:
    """What the command lists."""
    rows: list[dict[str, Any]] = json.loads(headrace(home, "deadletters", "list", "--json").stdout)
    return rows


def test_what_was_sent_is_known_without_the_offsets_of_a_group(broker: dict[str, str]) -> None:
    put(broker, 1, "undecodable")
    assert replay(broker).sent == 1
    admin = AdminClient({**broker})
    groups = [group.group_id for group in admin.list_consumer_groups().result().valid]
    if groups:
        for done in admin.delete_consumer_groups(groups).values():
            done.result()
    assert replay(broker) == NOT_TOLD


def test_a_record_comes_back_as_it_was_and_where_it_was(broker: dict[str, str]) -> None:
    for partition in (3, 1):
        put(broker, 7, "undecodable", None, partition=partition, further=[("trace", b"\xff")])
    put(broker, 8, "undecodable", b"", partition=2)

    assert replay(broker).sent == 3
    found = {record_of(message)[0]: message for message in come(broker)}
    assert sorted(found) == [1, 2, 3]
    assert [found[place].value() for place in (1, 2, 3)] == [None, b"", None]
    assert [found[place].key() for place in (1, 2, 3)] == [b"key-7", b"key-8", b"key-7"]
    assert found[1].headers() == [("trace", b"\xff")]


def test_a_letter_that_is_not_delivered_stays_and_the_command_fails(
    broker: dict[str, str], tmp_path: Path
) -> None:
    put(broker, 1, "undecodable", b"1")
    put(broker, 2, "undecodable", b"2" * 5_000)
    put(broker, 3, "undecodable", b"3", partition=9)
    put(broker, 4, "undecodable", b"4", topic="gone")
    allow(broker, 1_000)

    failed = headrace(tmp_path, "deadletters", "replay", check=False)
    assert failed.returncode == RetryableError.exit_code, failed
    (line,) = failed.stderr.splitlines()
    assert "3 of 4 dead letters were not delivered and stay, the first of them" in line
    assert values(broker) == [b"1"]

    allow(broker, 10_000)
    with pytest.raises(RetryableError, match="2 of 3 dead letters were not delivered"):
        replay(broker)
    assert values(broker) == [b"1", b"2" * 5_000]


def test_a_record_that_is_no_letter_is_told_and_left(
    broker: dict[str, str], tmp_path: Path
) -> None:
    producer = Producer({**broker})
    producer.produce(DEAD_LETTERS, b"hello")
    producer.produce(DEAD_LETTERS, b"hello", headers=[("headrace.topic", None)])
    assert producer.flush(30) == 0
    put(broker, 1, "undecodable", None)

    assert [letter.offset for letter in dead_letters(broker)] == [1]
    listed = headrace(tmp_path, "deadletters", "list", "--json")
    assert [row["value"] for row in json.loads(listed.stdout)] == [None]
    assert "2 records in dead-letters are foreign" in listed.stderr
    done = headrace(tmp_path, "deadletters", "replay", "--json")
    assert json.loads(done.stdout) == {"sent": 1, "foreign": 2}
    assert replay(broker) == Replay(sent=0, foreign=2)


def test_a_broker_that_goes_away_while_it_is_read_is_not_waited_for_for_ever(
    broker: dict[str, str], tmp_path: Path
) -> None:
    producer = Producer({**broker, "log_level": 0})
    for _ in range(60_000):
        producer.produce(DEAD_LETTERS, b"x" * 1_000)
        producer.poll(0)
    assert producer.flush(60) == 0
    # Else the client would have fetched all of it before.
    ahead = {"queued.max.messages.kbytes": "1024"}
    reading = records_now({**broker, **ahead}, DEAD_LETTERS, patience_s=2)
    next(reading)
    os.kill(process(tmp_path, Service.KAFKA).pid, signal.SIGKILL)
    with pytest.raises(RetryableError, match="no Kafka broker answers at"):
        list(reading)
