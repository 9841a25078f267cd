"""The stream job goes on while what it stands on is missing: the broker, room on the disk."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import time
from pathlib import Path

import pytest
from confluent_kafka import Producer

from headrace_features.embedded import Service
from headrace_schemas.errors import ConfigurationError
from headrace_schemas.settings import Settings
from headrace_streaming.job.cluster import Cluster
from headrace_streaming.kafka.clients import kafka_config
from headrace_streaming.services import control
from live_run import (
    ask_flink,
    completed,
    has_told,
    kill,
    newest_job,
    process,
    records,
    require_right,
    sending,
    until,
    until_checkpoints,
)
from streams import decisions, deploy

HEADRACE = str(Path(sys.executable).with_name("headrace"))
ROWS = 3_000
RATE = 200
SHORT = {
    "HEADRACE_STREAM_TRANSACTION_TIMEOUT": "12s",
    "HEADRACE_STREAM_CHECKPOINT_INTERVAL": "1s",
}


def test_a_broker_is_away_for_longer_than_transactions_may_be_open(
    stream: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in SHORT.items():
        monkeypatch.setenv(name, value)
    config = kafka_config(stream)
    deploy(stream)
    thread = sending(stream, records(ROWS), RATE)
    decisions(config, 300)
    kill(stream.home, Service.KAFKA)
    time.sleep(15)  # how long it stays away
    control.up(stream.home, os.environ)
    thread.join()
    job = newest_job(stream)
    # It runs for a while before it finds what became of its transactions.
    until(
        lambda: newest_job(stream).state == "FAILED" or has_told(config, "transactions"),
        "it has decided all, or has given up",
    )
    if newest_job(stream).state == "FAILED":
        # It was about to commit, and the broker has aborted that in the meantime.
        assert "was aborted before it could be committed" in str(Cluster.of(stream).failure(job))
        deploy(stream, fresh=True)
    require_right(stream, ROWS)


def test_decisions_that_the_broker_has_aborted_are_not_taken_for_made(
    stream: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Nothing but the savepoint is there to commit what was decided.
    monkeypatch.setenv("HEADRACE_STREAM_CHECKPOINT_INTERVAL", "5m")
    config = kafka_config(stream)
    deploy(stream)
    sending(stream, records(ROWS), None).join()
    cluster, job = Cluster.of(stream), newest_job(stream)
    until(lambda: decided_so_far(stream) >= ROWS, "all is decided")
    path = cluster._triggered(job, "savepoints", {"cancel-job": False})
    kill(stream.home, Service.TASKMANAGER)
    kill(stream.home, Service.JOBMANAGER)
    abort_what_is_open(config)
    monkeypatch.delenv("HEADRACE_STREAM_CHECKPOINT_INTERVAL")
    control.up(stream.home, os.environ)

    with pytest.raises(ConfigurationError, match="was aborted before it could be committed"):
        deploy(stream, state=path)
    deploy(stream, fresh=True)
    require_right(stream, ROWS)


def decided_so_far(settings: Settings) -> int:
    """How many records the sink of decisions of the newest job has taken."""
    job = newest_job(settings).job_id
    for vertex in ask_flink(settings, f"/jobs/{job}")["vertices"]:
        if vertex["name"].startswith("decisions: Writer"):
            place = f"/jobs/{job}/vertices/{vertex['id']}/subtasks/metrics"
            (found,) = ask_flink(settings, f"{place}?get=numRecordsIn&agg=sum") or [{"sum": 0}]
            return int(found["sum"])
    return 0


def abort_what_is_open(config: dict[str, str]) -> None:
    """Take the transactions of the first deployment over, which aborts them."""
    for subtask in range(2):
        for checkpoint in range(1, 4):
            name = f"headrace-fraud-fraud-1-{subtask}-{checkpoint}"
            Producer({**config, "transactional.id": name}).init_transactions(30)


def set_room(settings: Settings, size: int) -> None:
    """Let Flink's processes write so many bytes into any file."""
    for service in (Service.JOBMANAGER, Service.TASKMANAGER):
        most = resource.RLIM_INFINITY
        resource.prlimit(process(settings.home, service).pid, resource.RLIMIT_FSIZE, (size, most))


def test_the_disk_for_checkpoints_is_full_for_a_while(stream: Settings) -> None:
    deploy(stream)
    thread = sending(stream, records(ROWS), RATE)
    decisions(kafka_config(stream), 300)
    set_room(stream, 0)
    time.sleep(5)  # how long it is full
    before = completed(stream)
    stopped = subprocess.run(
        [HEADRACE, "stream", "stop"],
        env={**os.environ, "HEADRACE_HOME": str(stream.home)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert stopped.returncode
    (line,) = stopped.stderr.splitlines()
    assert "headrace-fraud" in line
    assert completed(stream) == before
    set_room(stream, resource.RLIM_INFINITY)
    until_checkpoints(stream, 2)
    thread.join()
    require_right(stream, ROWS)
