"""`headrace stream decisions` and `alerts` show what is on the topics, newest last."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Producer

from headrace_features.fraud import definitions as fraud
from headrace_features.project import collect
from headrace_schemas.topics import ALERTS, DECISIONS
from headrace_streaming.kafka.topics import create_topics, topics_of
from streams import broker_in, headrace

TIME_MS = 1_600_000_000_000
#: More than one look at the ends of the partitions reads.
MANY = 9_000


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The home of a broker on which two projects' jobs have decided."""
    home = tmp_path_factory.mktemp("home")
    with broker_in(home) as config:
        create_topics(config, topics_of(collect("fraud", [fraud])))
        producer = Producer({**config})
        put(producer, DECISIONS, "flagged", ["velocity"])
        for number in range(MANY):
            put(producer, DECISIONS, f"t{number}", [], at_ms=number)
            if number % 1_000 == 0:
                producer.flush(30)
        put(producer, DECISIONS, "other", ["velocity"], project="other", at_ms=MANY)
        for foreign in (b"no JSON", b"[]", b"{}", None):
            producer.produce(DECISIONS, foreign, b"foreign")
        put(producer, ALERTS, "flagged", ["velocity"], retracted=False)
        put(producer, ALERTS, "flagged", [], retracted=True)
        assert producer.flush(30) == 0
        yield home


def put(  # noqa: PLR0913 - what a record has
    producer: Producer,
    topic: str,
    name: str,
    rules: list[str],
    *,
    project: str = "fraud",
    at_ms: int = 0,
    **further: object,
) -> None:
    """Put a decision or an alert on its topic, as the job does."""
    record = {
        "id": name,
        "project": project,
        "decision": "fraud",
        "event_time": TIME_MS + at_ms,
        "flagged": bool(rules),
        "rules": rules,
        "features": {"card_activity__count_1h": 3},
        **further,
    }
    producer.produce(topic, json.dumps(record).encode(), name.encode(), timestamp=TIME_MS + at_ms)


def shown(home: Path, *arguments: str) -> list[dict[str, Any]]:
    """What a command shows to programs."""
    records: list[dict[str, Any]] = json.loads(
        headrace(home, "stream", *arguments, "--json").stdout
    )
    return records


def test_the_newest_are_shown_and_another_project_s_are_not(home: Path) -> None:
    found = shown(home, "decisions", "--limit", "3")
    assert [one["id"] for one in found] == [f"t{MANY - 3 + n}" for n in range(3)]


def test_a_flagged_one_is_found_however_far_back_it_is(home: Path) -> None:
    assert [one["id"] for one in shown(home, "decisions", "--flagged")] == ["flagged"]
    told = headrace(home, "stream", "decisions", "--flagged").stdout
    assert told == "2020-09-13 12:26:40  flagged  fraud: velocity\n"


def test_one_event_s_decision_is_shown_with_its_values(home: Path) -> None:
    told = headrace(home, "stream", "decisions", "--id", "t7").stdout
    assert told.startswith("2020-09-13 12:26:40  t7  fraud: not flagged\n{")
    assert '"card_activity__count_1h": 3' in told
    nobody = headrace(home, "stream", "decisions", "--id", "nobody").stdout
    assert nobody.startswith("there are no decisions of the event 'nobody'; see:")


def test_an_alert_that_was_taken_back_says_so(home: Path) -> None:
    told = headrace(home, "stream", "alerts").stdout.splitlines()
    assert [line.rpartition("fraud: ")[2] for line in told] == ["velocity", "taken back"]


def test_those_to_come_are_followed_until_somebody_has_seen_enough(home: Path) -> None:
    follower = subprocess.Popen(
        [Path(sys.executable).with_name("headrace"), "stream", "alerts", "--follow", "--json"],
        env={**os.environ, "HEADRACE_HOME": str(home)},
        cwd=home,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert follower.stdout is not None
    before = [json.loads(follower.stdout.readline()) for _ in range(2)]
    assert [one["retracted"] for one in before] == [False, True]
    settings = json.loads(headrace(home, "status", "--json").stdout)
    address = next(one["address"] for one in settings if one["service"] == "kafka")
    producer = Producer({"bootstrap.servers": address})
    put(producer, ALERTS, "later", ["far_travel"], retracted=False)
    assert producer.flush(30) == 0
    assert json.loads(follower.stdout.readline())["id"] == "later"
    follower.send_signal(signal.SIGINT)
    _, errors = follower.communicate(timeout=30)
    assert (follower.returncode, errors) == (0, "")
