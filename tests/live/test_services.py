"""The embedded services: started once, found again, restarted with their data kept."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from headrace_features.embedded import Service, read_book
from headrace_features.processes import is_alive
from headrace_schemas.errors import ConfigurationError
from headrace_schemas.topics import Topic, source_topic
from headrace_streaming.kafka.topics import create_topics
from headrace_streaming.services import control
from streams import received, send


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    try:
        yield tmp_path
    finally:
        control.down(tmp_path)


def headrace(home: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the command in a folder, with its data there."""
    return subprocess.run(
        [str(Path(sys.executable).with_name("headrace")), *arguments],
        cwd=home,
        env={**os.environ, "HEADRACE_HOME": str(home)},
        capture_output=True,
        text=True,
        check=False,
    )


def told(home: Path, *arguments: str) -> Any:
    done = headrace(home, *arguments, "--json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_services_outlive_the_command_and_come_back_with_their_data(home: Path) -> None:
    assert [one["state"] for one in told(home, "status")] == ["stopped"] * 4

    broker_pid = broker_of_a_killed_up(home)
    started = told(home, "up")
    assert started[0]["pid"] == broker_pid
    assert [one["state"] for one in started] == ["running"] * 4
    assert all(one["address"].startswith("127.0.0.1:") for one in started if one["address"])
    assert [one["pid"] for one in told(home, "up")] == [one["pid"] for one in started]

    config = {"bootstrap.servers": started[0]["address"]}
    send(config, "transactions", [("a", b"kept")])
    os.kill(started[0]["pid"], signal.SIGKILL)
    while is_alive(broker := process(home, 0)):
        assert broker.pid == started[0]["pid"]
    assert [one["state"] for one in told(home, "status")] == [
        "stopped",
        *["running"] * 3,
    ]

    again = told(home, "up")
    assert again[0]["pid"] != started[0]["pid"]
    assert again[0]["address"] == started[0]["address"]
    assert [one["pid"] for one in again[1:]] == [one["pid"] for one in started[1:]]
    assert [message.value() for message in received(config, "transactions", 1)] == [b"kept"]

    os.kill(again[2]["pid"], signal.SIGKILL)
    os.kill(again[3]["pid"], signal.SIGKILL)
    last = told(home, "up")
    assert [one["state"] for one in last] == ["running"] * 4
    assert last[3]["pid"] != again[3]["pid"]
    report = told(home, "writer", "status")
    assert report["running"]
    assert report["embedded"]["pid"] == last[3]["pid"]
    with urllib.request.urlopen(f"http://{again[1]['address']}/taskmanagers") as answer:
        known = [one["id"] for one in json.load(answer)["taskmanagers"]]
    assert read_book(home).services[Service.TASKMANAGER].run in known

    assert create_topics(config, [source_topic("new", "card_id")]) == ["new"]
    assert create_topics(config, [source_topic("new", "card_id")]) == []
    with pytest.raises(ConfigurationError, match="topic new has 4 partitions, expected 5"):
        create_topics(config, [Topic("new", "card_id", partitions=5)])

    processes = [process(home, place) for place in range(4)]
    assert (home / "flink" / "tmp").exists()
    assert [one["state"] for one in told(home, "down")] == ["stopped"] * 4
    assert not any(is_alive(one) for one in processes)
    # Each job that is deployed leaves a copy of its files there, of each TaskManager.
    assert not (home / "flink" / "tmp").exists()


def broker_of_a_killed_up(home: Path) -> int:
    """Kill the command in the middle of its work; returns the number of the broker's process."""
    command = [str(Path(sys.executable).with_name("headrace")), "up"]
    environ = {**os.environ, "HEADRACE_HOME": str(home)}
    killed = subprocess.Popen(command, cwd=home, env=environ, stdout=subprocess.DEVNULL)
    # Once the second service is noted, the first one has been let go.
    while Service.JOBMANAGER not in read_book(home).services:
        assert killed.poll() is None
    killed.kill()
    killed.wait()
    return int(process(home, 0).pid)


def process(home: Path, place: int) -> Any:
    return list(read_book(home).services.values())[place].process


def test_what_needs_a_service_that_does_not_run_says_how_to_start_it(home: Path) -> None:
    done = headrace(home, "stream", "deploy")
    assert done.returncode == 75
    assert "does not run (run: headrace up)" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def test_a_broker_that_does_not_answer_is_told_in_one_line(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HEADRACE_FLINK_REST_ADDRESS", "127.0.0.1:9")
    done = headrace(home, "stream", "status")
    assert done.returncode == 75
    assert "no Flink cluster answers at 127.0.0.1:9" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def test_a_damaged_book_of_services_is_not_taken_for_none(home: Path) -> None:
    (home / "services.json").write_text("{")
    done = headrace(home, "status")
    assert done.returncode == 78
    assert "services.json can't be read" in done.stderr
    (home / "services.json").unlink()
