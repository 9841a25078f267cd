"""Runs that somebody starts in Airflow: a version replayed and promoted, and upkeep."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from headrace_streaming.kafka.clients import kafka_config
from scheduled.airflow_api import AirflowApi
from scheduled.airflows import Airflow, killed_at_first
from shops import PURPOSELY, declare_second, deployed_shop, events_of, listed, settings_of
from streams import headrace, received, send_events

pytestmark = pytest.mark.timeout(1_200)

REPLAY, UPKEEP = "kappa_replay", "maintenance"
#: The scheduler says so once it has noticed that the task waits for an answer.
NOTICED = (
    "Received executor event with state success for task instance"
    " TaskInstanceKey(dag_id='kappa_replay', task_id='approve'"
)


def come_to(api: AirflowApi, dag: str, run: str, task: str, state: str) -> dict[str, str | None]:
    """Wait until a task of a run is in a state; those of all its tasks."""
    while (states := api.states(dag, run)).get(task) != state:
        assert not {"failed", "upstream_failed"} & set(states.values()), states
        time.sleep(0.5)
    return states


def replay_and_agree(api: AirflowApi, shop: Path, home: Path) -> None:
    """Start a replay, look at what differs, and agree."""
    run = api.trigger(REPLAY, {"view": "user_activity", "version": 2, "accept": [*PURPOSELY]})
    come_to(api, REPLAY, run, "approve", "awaiting_input")
    asked = api.question(REPLAY, run, "approve")
    assert asked["subject"] == "Serve version 2 of user_activity?"
    report = json.loads(asked["body"].strip().removeprefix("```").removesuffix("```"))
    assert report["removed"] == [PURPOSELY[-1]]
    assert listed(shop, home)[""]["serving"]
    # Airflow 3.3 fails a task that is answered sooner, as nobody is who reads what differs.
    while NOTICED not in (home / "airflow/logs/scheduler.log").read_text():
        time.sleep(0.2)
    api.answer(REPLAY, run, "approve", "Approve")
    come_to(api, REPLAY, run, "promote", "success")


def test_a_version_whose_replay_was_killed_is_served_once_somebody_has_agreed_then_upkeep_is_done(
    tmp_path: Path, home: Path
) -> None:
    shop = deployed_shop(tmp_path, home)
    config = kafka_config(settings_of(shop, home))
    events = events_of(shop)
    send_events(config, "activity", "user_id", events)
    received(config, "decisions", len(events))
    headrace(home, "ingest", "--from-kafka", folder=shop)
    declare_second(shop)
    marks = tmp_path / "marks"
    command = killed_at_first(tmp_path, marks)
    airflow = Airflow(home, folder=shop, command=command, is_impatient=True)
    with airflow.scheduling() as api:
        api.unpause(REPLAY)
        replay_and_agree(api, shop, home)
        assert listed(shop, home)["user_activity-v2"]["serving"]
        assert [mark.name for mark in marks.iterdir()] == ["replay-killed"]
        assert airflow.tries("manual", REPLAY)["replay"] == 2
        # Its last day is due at once.
        api.unpause(UPKEEP)
        while not (runs := api.runs(UPKEEP)):
            time.sleep(0.5)
        come_to(api, UPKEEP, runs[0], "report", "success")
        told = json.loads(api.result(UPKEEP, runs[0], "report"))
        assert {"activity", "decisions"} <= {one["topic"] for one in told["topics"]}
        assert {one["namespace"] for one in told["online"]} == {"", "user_activity-v2"}
