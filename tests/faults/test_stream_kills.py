"""The stream job loses its processes: every transaction still has one decision, the oracle's."""

from __future__ import annotations

import json
import os
import random
import time
from pathlib import Path
from urllib.parse import unquote, urlparse

from headrace_features.embedded import Service
from headrace_orchestration.benchmarks.drain import closing
from headrace_schemas.settings import Settings
from headrace_streaming.job.cluster import Cluster
from headrace_streaming.job.config import Mode, StateBackend
from headrace_streaming.job.options import checkpoint_directory
from headrace_streaming.kafka.clients import kafka_config
from headrace_streaming.services import control
from live_run import (
    ask_flink,
    kill,
    newest_job,
    process,
    records,
    require_right,
    sending,
    until,
    until_told,
)
from stream_cases import HOUR_MS
from streams import decisions, deploy, headrace

ROWS = 4_000
RATE = 400
#: How often a TaskManager is killed; `make faults-long` asks for more.
KILLS = int(os.environ.get("HEADRACE_FAULT_KILLS", "4"))


def unfinished(folder: Path) -> set[Path]:
    """The checkpoints in a folder that go on, or were left."""
    return {path for path in folder.glob("chk-*") if not (path / "_metadata").exists()}


def until_checkpoint(settings: Settings) -> None:
    """Wait for the midst of a checkpoint: its folder is there, and what is written last is not.

    Flink answers such questions with what it knew seconds ago.
    """
    url = checkpoint_directory(settings)
    assert url is not None
    folder = Path(unquote(urlparse(url).path)) / newest_job(settings).job_id
    assert folder.is_dir()
    left = unfinished(folder)
    until(lambda: bool(unfinished(folder) - left), "a checkpoint goes on", pause_s=0)


def require_java_alone(settings: Settings) -> None:
    """See that no Python is in the running job: neither a function nor a process that runs one."""
    job = ask_flink(settings, f"/jobs/{newest_job(settings).job_id}/plan")
    assert "python" not in json.dumps(job).lower()
    parent = process(settings.home, Service.TASKMANAGER).pid
    # After the name in brackets stand state and parent.
    stats = (file.read_text() for file in Path("/proc").glob("[0-9]*/stat"))
    assert str(parent) not in {stat.rpartition(")")[2].split()[1] for stat in stats}


def test_a_task_manager_is_killed_again_and_again(stream: Settings) -> None:
    chance = random.Random(6)
    deploy(stream)
    # A kill and the way back take some five seconds.
    rows = max(ROWS, 1_500 * KILLS)
    thread = sending(stream, records(rows), RATE)
    for number in range(KILLS):
        # The third time at once: the job is on its way back from the second.
        if number % 3 == 0:
            time.sleep(chance.uniform(0.5, 4.0))  # when it is killed is chance
        elif number % 3 == 1:
            until_checkpoint(stream)
        kill(stream.home, Service.TASKMANAGER)
        control.up(stream.home, os.environ)
    thread.join()
    require_right(stream, rows)
    until(lambda: newest_job(stream).state == "RUNNING", "the job runs")
    require_java_alone(stream)
    cluster = Cluster.of(stream)
    # No record makes it fail over and over.
    before = cluster.checkpoints(newest_job(stream))["counts"]["restored"]
    time.sleep(3)
    assert cluster.checkpoints(newest_job(stream))["counts"]["restored"] == before


def test_a_job_manager_is_killed_and_the_job_deployed_again(stream: Settings) -> None:
    deploy(stream)
    thread = sending(stream, records(ROWS), RATE)
    decisions(kafka_config(stream), 500)
    kill(stream.home, Service.JOBMANAGER)
    control.up(stream.home, os.environ)
    again = deploy(stream)
    assert again.restored_from is not None
    thread.join()
    require_right(stream, ROWS)


def test_a_broker_is_killed_and_comes_back(stream: Settings) -> None:
    deploy(stream)
    thread = sending(stream, records(ROWS), RATE)
    decisions(kafka_config(stream), 500)
    kill(stream.home, Service.KAFKA)
    time.sleep(3)  # how long it stays away
    control.up(stream.home, os.environ)
    thread.join()
    require_right(stream, ROWS)


def test_in_ordered_mode_on_rocksdb_a_task_manager_is_killed(stream: Settings) -> None:
    chance = random.Random(8)
    deploy(stream, mode=Mode.ORDERED, state_backend=StateBackend.ROCKSDB)
    sent = records(ROWS)
    last_ms = max(record.at_ms for record in sent)
    # Nothing comes after them: they alone wait for ever.
    thread = sending(stream, [*sent, *closing(last_ms + HOUR_MS)], RATE)
    for _ in range(2):
        time.sleep(chance.uniform(1.0, 4.0))  # when it is killed is chance
        kill(stream.home, Service.TASKMANAGER)
        control.up(stream.home, os.environ)
    thread.join()
    config = kafka_config(stream)
    decided = decisions(config, ROWS)
    assert len({one["id"] for one in decided}) == len(decided) == ROWS
    until_told(config, "transactions")
    assert Cluster.of(stream).checkpoints(newest_job(stream))["counts"]["restored"] >= 1
    told = json.loads(headrace(stream.home, "parity", "--json").stdout)
    assert told["decided"] == {"fraud": ROWS}
    assert (told["unexplained"], told["findings"]) == (0, [])
    assert {one["promise"] for one in told["promises"]} == {"P1", "P2", "P3"}
    assert all(one["equal"] == one["rows"] > 0 for one in told["promises"])
