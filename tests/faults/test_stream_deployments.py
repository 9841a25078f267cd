"""The stream job is deployed from here and from there: no decision is made twice or lost."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

from headrace_features.embedded import Service
from headrace_features.project import load_project
from headrace_schemas.settings import Settings
from headrace_streaming.job import deployment, submission
from headrace_streaming.job.cluster import Cluster
from headrace_streaming.kafka.clients import kafka_config
from headrace_streaming.kafka.disorder import Sent
from headrace_streaming.services import control, flink
from live_run import (
    JOB,
    counted,
    kill,
    newest_job,
    records,
    require_right,
    sending,
    until,
    until_checkpoints,
)
from streams import decisions, deploy, received, send, send_events

ROWS = 3_000
RATE = 300
#: Slow enough that a second copy comes up meanwhile.
SLOW = 40
SUPPRESSED = "headrace_decisions_suppressed_total"


def transactions_in(sent: list[Sent]) -> int:
    """How many of some records are decided on."""
    return sum(record.topic == "transactions" for record in sent)


def test_a_job_that_goes_back_to_an_older_savepoint_makes_no_decision_again(
    stream: Settings,
) -> None:
    config = kafka_config(stream)
    sent = records(ROWS)
    first, second, third = sent[:1_000], sent[1_000:2_500], sent[2_500:]
    deploy(stream)
    sending(stream, first, None).join()
    decisions(config, transactions_in(first))
    older = Cluster.of(stream).savepoint(newest_job(stream))
    sending(stream, second, None).join()
    decisions(config, transactions_in(first + second))
    deployment.stop(stream, load_project(stream))

    again = deploy(stream, state=older, parallelism=1)
    assert again.restored_from == older
    again_met = transactions_in(second)
    until(lambda: counted(stream, SUPPRESSED) == again_met, "it has met what was decided")
    until_checkpoints(stream, 1)
    # What it has met and what it has committed are still told apart when it starts anew.
    thread = sending(stream, third, RATE)
    kill(stream.home, Service.TASKMANAGER)
    control.up(stream.home, os.environ)
    thread.join()
    require_right(stream, ROWS)


def test_a_job_without_state_makes_just_the_decisions_that_are_missing(stream: Settings) -> None:
    deploy(stream)
    thread = sending(stream, records(ROWS), RATE)
    decisions(kafka_config(stream), 600)
    # Without a savepoint: what it was about to commit is left open on the broker.
    kill(stream.home, Service.TASKMANAGER)
    kill(stream.home, Service.JOBMANAGER)
    control.up(stream.home, os.environ)
    deploy(stream, fresh=True)
    thread.join()
    require_right(stream, ROWS)
    # Flink answers with what it knew before it was asked, and looks anew.
    until(lambda: counted(stream, SUPPRESSED) >= 600, "it has met what was decided")


def test_a_second_copy_takes_over_and_the_first_ends_for_good(stream: Settings) -> None:
    first = deploy(stream)
    sent = records(ROWS)
    half = len(sent) // 2
    sending(stream, sent[:half], None).join()
    thread = sending(stream, sent[half:], SLOW)
    cluster = Cluster.of(stream)

    # As somebody would start it by mistake: plain Flink looks for no other copy.
    subprocess.run(
        [
            *("bash", str(flink.distribution() / "bin" / "flink"), "run", "--detached"),
            *("--jobmanager", cluster.address),
            *("--pyClientExecutable", sys.executable, "--pyExecutable", sys.executable),
            *("--python", str(submission.SCRIPT)),
        ],
        env=flink.environment(
            stream.home / "flink", {**os.environ, "HEADRACE_HOME": str(stream.home)}
        ),
        check=True,
        capture_output=True,
    )

    def state_of_the_first() -> str:
        return next(j.state for j in cluster.jobs(JOB) if j.job_id == first.job.job_id)

    until(lambda: state_of_the_first() == "FAILED", "the first has ended")
    assert thread.is_alive()
    thread.join()
    decided = require_right(stream, ROWS)
    assert len({one["epoch"] for one in decided}) == 2
    told = cluster.failure(first.job)
    assert told is not None
    assert "superseded by deployment" in told
    second = newest_job(stream)
    assert second.job_id != first.job.job_id
    assert second.state == "RUNNING"


def alert_of(event: dict[str, Any], partition: int, offset: int) -> bytes:
    """An alert that a former run has told about an event."""
    told = {
        "id": event["transaction_id"],
        "project": "fraud",
        "decision": "fraud",
        "event": event,
        "partition": partition,
        "offset": offset,
        "retracted": False,
    }
    return json.dumps(told).encode()


def test_an_alert_that_turned_out_otherwise_is_taken_back_once(stream: Settings) -> None:
    config = kafka_config(stream)
    event = {
        "transaction_id": "quiet",
        "card_id": "card",
        "terminal_id": "terminal",
        "event_time": 1_600_000_000_000,
        "amount_minor": 100,
        "country": None,
        "latitude": None,
        "longitude": None,
    }
    send_events(config, "transactions", "card_id", [event])
    (read,) = received(config, "transactions", 1)
    partition, offset = read.partition(), read.offset()
    assert partition is not None
    assert offset is not None
    send(config, "alerts", [("quiet", alert_of(event, partition, offset))])

    deploy(stream, bounded=True)
    (decided,) = decisions(config, 1)
    assert not decided["flagged"]
    alert, retraction = (json.loads(m.value() or b"") for m in received(config, "alerts", 2))
    assert not alert["retracted"]
    assert retraction == {**decided, "retracted": True}

    # Its decision is committed now: nobody tells it anything any more.
    deploy(stream, fresh=True, bounded=True)
    until(lambda: newest_job(stream).state == "FINISHED", "the second run has ended")
    assert len(decisions(config, 1)) == 1
    assert len(received(config, "alerts", 2)) == 2
