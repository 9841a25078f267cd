"""`headrace parity` on a real broker and cluster: for any project, whatever the network does."""

from __future__ import annotations

import json
import random
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Producer

from headrace_batch.simulator import config_for_rows
from headrace_orchestration.live_simulation import live_records
from headrace_orchestration.parity.fetching import fetch
from headrace_orchestration.parity.run import Parity, compare
from headrace_schemas.errors import ConfigurationError
from headrace_schemas.settings import Settings, load
from headrace_streaming.kafka.clients import kafka_config
from headrace_streaming.kafka.disorder import Disorder, disturbed
from headrace_streaming.kafka.sender import send
from stream_cases import transactions
from streams import PATIENCE_S, decisions, delete_half, deploy, headrace, received, send_events


def parity_of(settings: Settings, wanted: int, runs: int = 1) -> Parity:
    """What is found once a deployment's checkpoint has so many decisions and bad records."""
    from headrace_features.project import load_project

    project = load_project(settings)
    config = kafka_config(settings)
    deadline = time.monotonic() + PATIENCE_S
    while True:
        try:
            recording = fetch(config, project, list(project.views), lambda *_: None)
        except ConfigurationError:
            assert time.monotonic() < deadline
            continue
        there = sum(len(log.table) for log in recording.decisions.values())
        there += sum(len(log.bad) for log in recording.sources.values())
        if there >= wanted and len(recording.modes) == runs:
            return compare(recording, list(project.views), 50, lambda _: None)
        assert time.monotonic() < deadline, f"{there} of {wanted} decisions and bad records"


def by_promise(told: Any) -> dict[tuple[str, str], dict[str, Any]]:
    return {(one["promise"], one["view"]): one for one in told["promises"]}


@pytest.mark.timeout(1_200)  # ten commands one after the other, each a process of its own
def test_a_new_project_streams_and_keeps_its_promises(tmp_path: Path, home: Path) -> None:
    headrace(home, "init", "shop", folder=tmp_path)
    shop = tmp_path / "shop"
    count = len((shop / "events.jsonl").read_text().splitlines())
    headrace(home, "up", folder=shop)
    nothing = headrace(home, "parity", folder=shop, check=False)
    assert (nothing.returncode, nothing.stdout) == (78, "")
    assert "no job of this project has completed a checkpoint" in nothing.stderr
    headrace(home, "stream", "deploy", folder=shop)
    sent = headrace(home, "send", "--file", "events.jsonl", "--json", folder=shop)
    assert json.loads(sent.stdout)["records"] == count
    config = kafka_config(load(shop, {"HEADRACE_HOME": str(home)}))
    decided = received(config, "decisions", count)
    # What breaks a rule is no event, for the stream as for batch.
    unpriced = json.loads((shop / "events.jsonl").read_text().splitlines()[0])
    unpriced |= {"event_id": "unpriced", "action": "purchase", "amount_minor": None}
    send_events(config, "activity", "user_id", [unpriced])
    received(config, "dead-letters", 1)
    (letter,) = json.loads(headrace(home, "deadletters", "list", "--json", folder=shop).stdout)
    assert letter["reason"] == "rule_broken"
    assert letter["message"] == "Activity breaks the rule priced"
    headrace(home, "stream", "stop", folder=shop)

    found = json.loads(headrace(home, "parity", "--json", folder=shop).stdout)

    assert found["decided"] == {"activity": count}
    assert (found["unexplained"], found["findings"]) == (0, [])
    promises = by_promise(found)
    for view in ("user_activity", "user_purchases"):
        for promise in ("P1", "P2"):
            assert promises[promise, view]["equal"] == promises[promise, view]["rows"]
        assert promises["P2", view]["rows"] == promises["P3", view]["rows"] == count
    assert {one["entities"] for one in found["oracle"]} == {120}

    # A record that nobody's transaction has written: parity has to see it.
    producer = Producer(config)
    producer.produce("decisions", decided[0].value(), decided[0].key())
    assert producer.flush(30) == 0
    forged = headrace(home, "parity", "--view", "user_activity", folder=shop, check=False)
    assert forged.returncode == 1
    event = json.loads(decided[0].value() or b"")["id"]
    assert f"doubled decision: activity, {event}" in forged.stdout
    assert "user_purchases" not in forged.stdout


def test_without_a_broker_there_is_one_line(tmp_path: Path, home: Path) -> None:
    told = headrace(home, "parity", folder=tmp_path, check=False)
    assert told.returncode == 75
    assert told.stderr.startswith("headrace: ")
    assert len(told.stderr.splitlines()) == 1


def test_what_a_network_does_is_explained_row_by_row(stream: Settings) -> None:
    config = kafka_config(stream)
    disorder = Disorder(out_of_order=0.05, late=0.01, duplicated=0.01, spoilt=0.001)
    simulated = live_records(config_for_rows(4_000, seed=4))
    sent = list(disturbed(simulated, disorder, random.Random(4)))
    good = [record for record in sent if record.value.endswith(b"}")]
    wanted = {
        json.loads(record.value)["transaction_id"]
        for record in good
        if record.topic == "transactions"
    }
    deploy(stream)

    send(config, sent, rate=1_000)
    decisions(config, len(wanted))
    found = parity_of(stream, len(wanted) + len(sent) - len(good))

    assert found.unexplained == 0
    assert found.findings == ()
    assert sum(found.bad.values()) == len(sent) - len(good)
    transactions = sum(record.topic == "transactions" for record in good)
    assert found.duplicates == {"fraud": transactions - len(wanted)}
    happened = [one for one in found.outcomes if one.promise == "P2"]
    assert [(one.rows, one.equal) for one in happened] == [(len(wanted), len(wanted))] * 2
    listed: Counter[tuple[str, str]] = Counter()
    events: dict[str, set[str]] = {}
    for line in found.lines():
        assert line["explained_by"]
        listed[line["view"], line["reason"]] += 1
        events.setdefault(line["view"], set()).add(line["event"])
    reasons = {reason for view, reason in listed if view == "card_activity"}
    assert "out of order" in reasons or "late event" in reasons
    assert "late" in reasons
    for one in found.outcomes:
        if one.promise == "P3":
            assert len(events.get(one.state.view.name, ())) == one.rows - one.equal


def test_a_deployment_that_goes_on_from_a_savepoint_is_one_run(stream: Settings) -> None:
    from headrace_features.project import load_project
    from headrace_streaming.job import deployment

    config = kafka_config(stream)
    records = [
        record
        for record in live_records(config_for_rows(600, seed=8))
        if record.topic == "transactions"
    ]
    events = [json.loads(record.value) for record in records]
    deploy(stream)
    send_events(config, "transactions", "card_id", events[:300])
    decisions(config, 300)
    deployment.stop(stream, load_project(stream))
    deploy(stream)
    send_events(config, "transactions", "card_id", events[300:])
    decisions(config, len(events))

    found = parity_of(stream, len(events), runs=2)

    assert list(found.modes.values()) == ["immediate", "immediate"]
    assert found.unexplained == 0
    assert found.decided == {"fraud": len(events)}

    gone = delete_half(config, "transactions")
    found = parity_of(stream, len(events) - gone, runs=2)

    assert (found.unexplained, found.findings, found.gone) == (0, (), gone)
    assert found.decided == {"fraud": len(events) - gone}
    reasons = {
        reason
        for one in found.outcomes
        if one.state.view.name == "card_activity"
        for reason, rows in one.reasons.items()
        if rows
    }
    assert reasons == {"no longer comparable"}


DEFINITIONS = """
from headrace_features import Count, Entity, EventSource, FeatureView, Mean, Sliding
from headrace_schemas.events import Transaction

card = Entity("card", join_key="card_id")
transactions = EventSource("transactions", schema=Transaction, dedup_key="transaction_id")
activity = FeatureView(
    name="activity", version=1, entity=card, source=transactions,
    aggregates=[Count(windows=[Sliding("8h")]){more}],
)
"""


def test_a_feature_is_added_to_a_job_with_a_lateness_of_its_own(
    stream: Settings, tmp_path: Path
) -> None:
    shop = tmp_path / "shop"
    shop.mkdir()
    (shop / "headrace.toml").write_text(
        '[project]\nname = "shop"\ndefinitions = ["shop_definitions"]\n[stream]\nlateness = "10m"\n'
    )
    definitions = shop / "shop_definitions.py"
    definitions.write_text(DEFINITIONS.format(more=""))
    config = kafka_config(stream)
    events = transactions(400, random.Random(11))
    # By more than the lateness, and by less than the default one.
    late = [
        {**event, "transaction_id": f"late {number}", "event_time": event["event_time"] - 1_200_000}
        for number, event in enumerate(events[100:120])
    ]

    headrace(stream.home, "stream", "deploy", folder=shop)
    send_events(config, "transactions", "card_id", [*events[:120], *late])
    decisions(config, 140)
    headrace(stream.home, "stream", "stop", folder=shop)
    definitions.write_text(
        DEFINITIONS.format(more=', Mean("amount_minor", windows=[Sliding("8h")])')
    )
    shown = headrace(stream.home, "stream", "deploy", folder=shop).stdout
    assert "activity as declared now began with this deployment" in shown
    assert "headrace stream deploy --from lake" in shown
    send_events(config, "transactions", "card_id", events[120:])
    decided = decisions(config, 420)
    headrace(stream.home, "stream", "stop", folder=shop)
    told = json.loads(headrace(stream.home, "parity", "--json", folder=shop).stdout)

    statuses = Counter(one["views"]["activity"]["status"] for one in decided)
    assert min(statuses[status] for status in ("late", "incomplete")) > 0
    assert statuses["complete"] > 200
    assert (told["unexplained"], told["findings"]) == (0, [])
    explained = by_promise(told)["P3", "activity"]["explained"]
    assert explained["late"] == statuses["late"]
    assert explained["incomplete"] == statuses["incomplete"]
    assert explained["not declared yet"] > 0
