"""The stream job on a real broker and cluster: decisions are the oracle's, each once."""

from __future__ import annotations

import json
import os
import random
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import chain
from typing import Any
from uuid import UUID

import pytest

from headrace_batch.ingest.topic_run import ingest_topics
from headrace_batch.warehouse import Warehouse
from headrace_features import oracle
from headrace_features.fraud import definitions as fraud
from headrace_features.online.served import view_key
from headrace_features.oracle import SpineRow
from headrace_features.project import Project, load_project
from headrace_features.state.updates import Update, decode_update, newest_fields
from headrace_orchestration.lineage.served import taken_in
from headrace_schemas.errors import ConfigurationError
from headrace_schemas.json_schema import schema_version
from headrace_schemas.settings import Settings
from headrace_streaming.job import deployment
from headrace_streaming.job.config import Mode
from headrace_streaming.kafka.clients import kafka_config
from headrace_streaming.kafka.dead_letters import dead_letters
from headrace_streaming.kafka.disorder import Disorder, Sent, disturbed
from headrace_streaming.kafka.epochs import deployments
from headrace_streaming.kafka.reading import records_now
from headrace_streaming.kafka.replays import replay
from headrace_streaming.kafka.sender import send as kafka_send
from headrace_streaming.services import control
from histories import bits
from lineage_events import recorded_events
from lineage_events import told as told_facet
from live_run import records, until
from stream_cases import (
    DAY_MS,
    HOUR_MS,
    absorbed_by_card,
    as_row,
    complete,
    labels_of,
    require_the_oracle_s,
    transactions,
)
from stream_state import values_of
from streams import PATIENCE_S, decisions, deploy, headrace, received, send, send_events


def require_the_state_s(config: Mapping[str, str], events: Sequence[Mapping[str, Any]]) -> None:
    """See that what the stream wrote for the online store gives the oracle's values at any time."""
    updates: dict[object, list[Update]] = {}
    for message in received(config, "feature-updates", len(events)):
        update = decode_update(message.value() or b"")
        assert (update.view, update.version) == ("card_activity", 1)
        updates.setdefault(update.entity, []).append(update)
    rows = [as_row(fraud.transactions.schema, event) for event in events]
    view = fraud.card_activity
    for card in {row["card_id"] for row in rows}:
        own = [row for row in rows if row["card_id"] == card]
        fields = newest_fields(updates[card])
        for row in (own[0], own[-1]):
            for time_ms in (row["event_time"], row["event_time"] + 2 * HOUR_MS + 7):
                expected = oracle.values(view, own, [SpineRow(card, time_ms)])[0]
                found = values_of(view, fields, time_ms)
                assert list(map(bits, found.values())) == list(map(bits, expected.values()))


def test_in_ordered_mode_decisions_equal_the_batch_values(stream: Settings) -> None:
    chance = random.Random(1)
    events = transactions(600, chance)
    labels = labels_of(events, chance)
    config = kafka_config(stream)
    shuffled = sorted(events, key=lambda e: e["event_time"] // 1000 + chance.random())
    send_events(config, "transactions", "card_id", shuffled)
    reported = sorted(labels, key=lambda label: label["reported_at"])
    send_events(config, "transaction_labels", "terminal_id", reported)

    deploy(stream, mode=Mode.ORDERED, bounded=True)
    decided = decisions(config, len(events))

    assert sorted(d["id"] for d in decided) == sorted(e["transaction_id"] for e in events)
    rows = [as_row(fraud.transactions.schema, event) for event in events]
    # All of one instant are absorbed before any of them is answered.
    seen = {
        row["transaction_id"]: [r for r in rows if r["event_time"] <= row["event_time"]]
        for row in rows
    }
    facts = [as_row(fraud.labels.schema, label) for label in labels]
    at_terminal = {
        row["transaction_id"]: [f for f in facts if f["terminal_id"] == row["terminal_id"]]
        for row in rows
    }
    assert complete(decided, "card_activity") == complete(decided, "terminal_risk") == 1
    require_the_oracle_s(decided, seen, at_terminal)
    flagged = {one["id"] for one in decided if one["flagged"]}
    alerts = received(config, "alerts", len(flagged))
    assert {json.loads(alert.value() or b"")["id"] for alert in alerts} == flagged


@pytest.mark.usefixtures("spark")
def test_in_immediate_mode_decisions_equal_the_oracle_in_the_order_of_arrival(
    stream: Settings,
) -> None:
    chance = random.Random(2)
    events = transactions(400, chance)
    arrival = sorted(events, key=lambda e: e["event_time"] + chance.choice([0, 0, 0, 1_500_000]))
    again = chance.sample(arrival, 20)
    ahead = json.dumps(
        transactions(1, chance)[0] | {"event_time": int(time.time() * 1000) + DAY_MS}
    )
    broken = [None, b"", b"{}", b'{"transaction_id": 5}', b"\xff\xfe", ahead.encode()]
    config = kafka_config(stream)
    deploy(stream)

    send_events(config, "transactions", "card_id", arrival)
    send_events(config, "transactions", "card_id", again)
    send(config, "transactions", (("x", raw) for raw in broken))
    decided = decisions(config, len(events))

    assert sorted(d["id"] for d in decided) == sorted(e["transaction_id"] for e in events)
    seen = absorbed_by_card(decided)
    assert complete(decided, "card_activity") > 0.9
    require_the_oracle_s(decided, seen, {key: [] for key in seen})
    require_the_state_s(config, events)
    dead = received(config, "dead-letters", len(broken))
    assert Counter(letter.value() for letter in dead) == Counter(broken)
    letters = list(dead_letters(config))
    assert Counter(letter.value for letter in letters) == Counter(broken)
    assert {letter.reason for letter in letters} == {
        *("undecodable", "missing_field", "wrong_type", "event_time_out_of_range")
    }
    assert {letter.topic for letter in letters} == {"transactions"}
    version = schema_version(fraud.transactions.schema)
    assert {(letter.schema, letter.schema_version) for letter in letters} == {
        ("Transaction", version)
    }
    # Nothing was mended: a record that is sent again is refused again, and is a letter more.
    assert replay(config, "wrong_type").sent == 1
    assert len(received(config, "dead-letters", len(broken) + 1)) == len(broken) + 1
    assert replay(config, "undecodable").sent == 3
    assert len(received(config, "dead-letters", len(broken) + 4)) == len(broken) + 4
    again_refused = replay(config).sent
    assert again_refused == len(broken)
    dead = received(config, "dead-letters", len(broken) + 4 + again_refused)
    assert Counter(letter.value() for letter in dead)[b'{"transaction_id": 5}'] == 3
    late = [json.loads(m.value() or b"") for m in received(config, "late-events", len(again))]
    twice = [entry["id"] for entry in late if entry["reason"] == "duplicate"]
    assert sorted(twice) == sorted(event["transaction_id"] for event in again)
    require_the_same_in_the_lake(stream, [d["id"] for d in decided])


def require_the_same_in_the_lake(settings: Settings, decided: Sequence[str]) -> None:
    """See that batch takes the records for events that the stream does, and refuses the others."""
    config = kafka_config(settings)
    ingest_topics(settings, load_project(settings), config, source="transactions")
    warehouse = Warehouse.of(settings)
    events = warehouse.read("bronze.transactions", ["transaction_id"]).column(0).to_pylist()
    assert sorted(events) == sorted(decided)
    rejected = warehouse.read("quarantine.transactions").to_pylist()
    assert sorted((row["file"], row["row_number"], *row["reasons"]) for row in rejected) == sorted(
        (f"kafka://{letter.topic}/{letter.partition}", letter.offset, letter.reason)
        for letter in dead_letters(config)
    )


def assert_told_of(stream: Settings, job_id: str, read: int) -> None:
    """See that a job told by OpenLineage what it reads and writes, and how far it has come."""
    begun, writer, ended = recorded_events(stream.lineage.path)
    assert begun["run"]["runId"] == ended["run"]["runId"] == str(UUID(job_id))
    assert [one["eventType"] for one in (begun, writer, ended)] == ["START", "START", "COMPLETE"]
    assert [one["name"] for one in begun["inputs"]] == ["transaction_labels", "transactions"]
    written = {one["name"] for one in begun["outputs"]}
    assert written == {"feature-updates", "decisions", "alerts", "late-events", "dead-letters"}
    (updates,) = writer["inputs"]
    assert (updates["namespace"], updates["name"]) == (
        f"kafka://{kafka_config(stream)['bootstrap.servers']}",
        "feature-updates",
    )
    views = load_project(stream).views.values()
    assert {one["name"] for one in writer["outputs"]} == {view_key(view) for view in views}
    spans = told_facet(ended, "headrace_offsets", "inputs", 1)["partitions"].values()
    assert sum(span["before"] - span["first"] for span in spans) == read
    taken = taken_in(stream, fraud.card_activity, 1)
    assert taken is not None
    assert [(one.first, one.before) for one in taken.values()] == [
        (one["first"], one["before"]) for one in spans
    ]


def test_a_job_that_was_stopped_goes_on_from_its_savepoint(stream: Settings) -> None:
    chance = random.Random(3)
    events = transactions(300, chance)
    config = kafka_config(stream)
    project: Project = load_project(stream)
    first = deploy(stream)
    assert first.restored_from is None
    with pytest.raises(ConfigurationError, match="runs already"):
        deploy(stream)
    send_events(config, "transactions", "card_id", events[:150])
    decisions(config, 150)
    (told,) = reported(stream)
    assert (told["job"], told["state"]) == (first.job.job_id, "RUNNING")
    assert (told["mode"], told["epoch"]) == ("immediate", 1)
    until(lambda: reported(stream)[0]["lag"] == 0, "all that was sent is behind a checkpoint")
    assert told["checkpoint_bytes"] > 1_000
    assert (told["failed_checkpoints"], told["failure"]) == (0, None)

    path = deployment.stop(stream, project)
    (told,) = reported(stream)
    assert (told["state"], told["mode"], told["lag"]) == ("FINISHED", None, None)
    assert_told_of(stream, first.job.job_id, 150)
    send_events(config, "transactions", "card_id", events[150:])
    # A cluster that was started anew knows nothing of the job.
    control.down(stream.home)
    control.up(stream.home, os.environ)
    assert reported(stream) == []
    known = headrace(stream.home, "stream", "status").stdout
    assert known.endswith(f"run: headrace stream deploy, which goes on from {path}\n")
    nothing = headrace(stream.home, "stream", "stop", check=False)
    assert nothing.returncode == 78
    assert "(see: headrace stream status)" in nothing.stderr
    second = deploy(stream)

    assert second.restored_from == path
    assert [one.told.newest_state for one in deployments(config, "fraud")] == [False, True]
    decided = decisions(config, len(events))
    assert sorted(d["id"] for d in decided) == sorted(e["transaction_id"] for e in events)
    assert len({d["epoch"] for d in decided}) == 2
    counts: dict[str, int] = {}
    for one in decided:
        card = one["event"]["card_id"]
        counts[card] = max(counts.get(card, 0), one["views"]["card_activity"]["sequence"])
    assert counts == {c: sum(e["card_id"] == c for e in events) for c in counts}


def test_silent_partitions_hold_no_decision_up(stream: Settings) -> None:
    chance = random.Random(9)
    events = [{**event, "card_id": "the only one"} for event in transactions(40, chance)]
    events.sort(key=lambda event: event["event_time"])
    time_ms = events[-1]["event_time"]
    later = [
        {**events[-1], "transaction_id": f"{days} later", "event_time": time_ms + days * DAY_MS}
        for days in (1, 2)
    ]
    config = kafka_config(stream)
    deploy(stream, mode=Mode.ORDERED)
    # All others of the transactions and all of the labels never have a record.
    send_events(config, "transactions", "card_id", events)
    # Where all fall silent, the first event after that lets others through, and the next one those
    # that the first has overtaken on its way through the stages.
    for event in later:
        until(lambda: reported(stream)[0]["lag"] == 0, "a checkpoint has the events")
        send_events(config, "transactions", "card_id", [event])
    decided = decisions(config, len(events))
    known = {one["id"] for one in decided}
    assert known - {later[0]["transaction_id"]} == {e["transaction_id"] for e in events}
    assert all(view["status"] == "complete" for one in decided for view in one["views"].values())
    assert len({(one["partition"]) for one in decided}) == 1


def reported(settings: Settings) -> list[dict[str, Any]]:
    """What the command tells of the jobs."""
    told = headrace(settings.home, "stream", "status", "--json").stdout
    reports: list[dict[str, Any]] = json.loads(told)
    return reports


def ancient_labels(simulated: Sequence[Sent]) -> tuple[list[Sent], list[Sent]]:
    """Labels from long before all others, and still older ones for after these.

    The state lets go of the first when the terminal's own labels come, and with them of that time.
    """
    of_terminals: dict[str, Sent] = {}
    for record in simulated:
        if record.topic == "transaction_labels":
            of_terminals.setdefault(record.key, record)
    told: list[list[Sent]] = [[], []]
    for terminal, record in list(of_terminals.items())[:20]:
        label = json.loads(record.value)
        for place, days in enumerate((60, 61)):
            ancient = {
                **label,
                "transaction_id": f"{days} days before {label['transaction_id']}",
                "event_time": label["event_time"] - days * DAY_MS,
                "reported_at": simulated[0].at_ms,
            }
            told[place].append(
                Sent(record.at_ms, record.topic, terminal, json.dumps(ancient).encode())
            )
    return told[0], told[1]


def ledgered(config: Mapping[str, str], wanted: Mapping[str, int]) -> list[dict[str, Any]]:
    """The entries of the ledger, once there are as many as wanted with each reason."""
    deadline = time.monotonic() + PATIENCE_S
    while True:
        messages = chain.from_iterable(records_now(config, "late-events"))
        found = [json.loads(message.value() or b"") for message in messages]
        reasons = Counter(entry["reason"] for entry in found)
        if all(reasons[reason] >= count for reason, count in wanted.items()):
            return found
        assert time.monotonic() < deadline, f"{reasons}, expected {wanted}"


def test_what_a_network_does_to_records_is_accounted_for_one_by_one(stream: Settings) -> None:
    config = kafka_config(stream)
    simulated = records(4_000, seed=4)
    disorder = Disorder(out_of_order=0.05, late=0.01, duplicated=0.01, spoilt=0.001)
    first, last = ancient_labels(simulated)
    sent = [*first, *disturbed(simulated, disorder, random.Random(4)), *last]
    spoilt = [record.value for record in sent if not record.value.endswith(b"}")]
    good = {
        (record.topic, json.loads(record.value)["transaction_id"])
        for record in sent
        if record.value.endswith(b"}")
    }
    wanted = {key for topic, key in good if topic == "transactions"}
    deploy(stream)

    report = kafka_send(config, sent, rate=1_000)
    decided = decisions(config, len(wanted))

    assert report.records == len(sent)
    assert len(spoilt) > 2
    assert sorted(one["id"] for one in decided) == sorted(wanted)
    dead = received(config, "dead-letters", len(spoilt))
    assert sorted(letter.value() or b"" for letter in dead) == sorted(spoilt)
    copies = len(sent) - len(spoilt) - len(good)
    refused = [json.loads(record.value)["transaction_id"] for record in last]
    late = ledgered(config, {"duplicate": copies, "too_old": len(refused)})
    assert sum(entry["reason"] == "duplicate" for entry in late) == copies
    too_old = [entry for entry in late if entry["reason"] == "too_old"]
    assert {entry["source"] for entry in too_old} == {"transaction_labels"}
    assert sorted(entry["id"] for entry in too_old) == sorted(refused)
    facts: dict[str, dict[str, dict[str, Any]]] = {}
    for record in sent:
        if record.topic == "transaction_labels" and record.value.endswith(b"}"):
            fact = as_row(fraud.labels.schema, json.loads(record.value))
            if fact["transaction_id"] not in refused:
                facts.setdefault(record.key, {}).setdefault(fact["transaction_id"], fact)
    known = {
        one["id"]: list(facts.get(one["event"]["terminal_id"], {}).values())[
            : one["views"]["terminal_risk"]["sequence"]
        ]
        for one in decided
    }
    assert complete(decided, "card_activity") > 0.98
    assert complete(decided, "terminal_risk") > 0.9
    assert sum(bool(known[one["id"]]) for one in decided) > len(decided) / 2
    require_the_oracle_s(decided, absorbed_by_card(decided), known)
