"""The stream job loses its processes: every transaction still has one decision, the oracle's."""

from __future__ import annotations

import os
import random
import signal
import threading
import time
from collections import Counter
from pathlib import Path

from headrace_batch.simulator import config_for_rows
from headrace_features import oracle
from headrace_features.fraud import definitions as fraud
from headrace_features.oracle import SpineRow
from headrace_orchestration.live_simulation import live_records
from headrace_schemas.settings import Settings
from headrace_streaming.kafka.clients import kafka_config
from headrace_streaming.kafka.sender import send
from headrace_streaming.services import control
from headrace_streaming.services.embedded import Service, read_book
from histories import bits
from streams import decisions, deploy

ROWS = 6_000
RATE = 400


def kill(home: Path, service: Service) -> None:
    process = read_book(home).services[service].process
    assert process is not None
    os.kill(process.pid, signal.SIGKILL)


def require_one_right_decision_each(settings: Settings) -> None:
    decided = decisions(kafka_config(settings), ROWS)
    counts = Counter(one["id"] for one in decided)
    assert len(counts) == ROWS
    assert set(counts.values()) == {1}
    by_card: dict[str, list[dict[str, object]]] = {}
    for one in sorted(decided, key=lambda o: int(o["views"]["card_activity"]["sequence"])):
        seen = by_card.setdefault(one["event"]["card_id"], [])
        seen.append(one["event"])
        assert one["views"]["card_activity"]["sequence"] == len(seen)
        row = SpineRow(one["event"]["card_id"], one["event"]["event_time"], one["id"])
        expected = oracle.values(fraud.card_activity, seen, [row])[0]  # type: ignore[arg-type] # JSON
        found = {name: one["features"][f"card_activity__{name}"] for name in expected}
        assert {n: bits(v) for n, v in found.items()} == {n: bits(v) for n, v in expected.items()}


def sending(settings: Settings) -> threading.Thread:
    """Sends all records at a rate, while the test goes on."""
    records = list(live_records(config_for_rows(ROWS, seed=5)))
    config = kafka_config(settings)
    thread = threading.Thread(target=send, args=(config, records, RATE))
    thread.start()
    return thread


def test_a_task_manager_is_killed_again_and_again(stream: Settings) -> None:
    chance = random.Random(6)
    deploy(stream)
    thread = sending(stream)
    kills = 0
    while thread.is_alive():
        time.sleep(chance.uniform(0.5, 4.0))  # when it is killed is chance
        kill(stream.home, Service.TASKMANAGER)
        control.up(stream.home, os.environ)
        kills += 1
    thread.join()
    assert kills >= 2
    require_one_right_decision_each(stream)


def test_a_job_manager_is_killed_and_the_job_deployed_again(stream: Settings) -> None:
    deploy(stream)
    thread = sending(stream)
    decisions(kafka_config(stream), 500)
    kill(stream.home, Service.JOBMANAGER)
    control.up(stream.home, os.environ)
    again = deploy(stream)
    assert again.restored_from is not None
    thread.join()
    require_one_right_decision_each(stream)


def test_a_broker_is_killed_and_comes_back(stream: Settings) -> None:
    deploy(stream)
    thread = sending(stream)
    decisions(kafka_config(stream), 500)
    kill(stream.home, Service.KAFKA)
    time.sleep(3)  # how long it stays away
    control.up(stream.home, os.environ)
    thread.join()
    require_one_right_decision_each(stream)
