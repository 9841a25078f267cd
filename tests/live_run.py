"""Simulated events through the stream job of a test, and what has to be true of its outputs."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
import urllib.request
from collections import Counter
from collections.abc import Callable, Mapping
from itertools import chain
from pathlib import Path
from typing import Any

import msgspec

from headrace_batch.simulator import config_for_rows
from headrace_features import oracle
from headrace_features.decisions import fired
from headrace_features.embedded import Service, read_book
from headrace_features.fraud import definitions as fraud
from headrace_features.oracle import SpineRow
from headrace_features.processes import Started, is_alive
from headrace_orchestration.live_simulation import live_records
from headrace_schemas.settings import Settings
from headrace_streaming.job.cluster import Cluster, Job
from headrace_streaming.kafka.clients import kafka_config
from headrace_streaming.kafka.disorder import Sent
from headrace_streaming.kafka.epochs import deployments
from headrace_streaming.kafka.reading import ends, reached, records_now
from headrace_streaming.kafka.sender import send
from headrace_streaming.services.embedded import is_free
from histories import bits
from stream_cases import as_row, complete
from streams import PATIENCE_S, decisions, received, send_events

JOB = "headrace-fraud"


#: So many times as many rows fill half a year; the rows alone less than the week of the labels.
_PART = 28


def records(rows: int, seed: int = 5) -> list[Sent]:
    """A week's transactions, and the labels of the week before, in the order of sending.

    No label is about the time of these transactions: however far ahead of them labels are read
    while the job is away, no decision is late for it.
    """
    config = msgspec.structs.replace(config_for_rows(_PART * rows, seed=seed), rows=2 * rows)
    sent = list(live_records(config))
    times = [record.at_ms for record in sent if record.topic == "transactions"]
    return [r for r in sent if r.topic != "transactions" or r.at_ms >= times[rows]]


def sending(settings: Settings, sent: list[Sent], rate: float | None) -> threading.Thread:
    """Sends records at a rate, while the test goes on."""
    thread = threading.Thread(target=send, args=(kafka_config(settings), sent, rate))
    thread.start()
    return thread


def process(home: Path, service: Service) -> Started:
    """The process of a service."""
    started = read_book(home).services[service].process
    assert started is not None
    return started


def kill(home: Path, service: Service) -> None:
    """End a service without warning; it is gone on return."""
    killed, ports = process(home, service), read_book(home).services[service].ports.values()
    os.kill(killed.pid, signal.SIGKILL)
    # Its first thread goes before those that hold its ports.
    until(lambda: not is_alive(killed) and all(map(is_free, ports)), f"{service} is gone")


def until(
    true: Callable[[], bool], what: str, patience_s: float = PATIENCE_S, pause_s: float = 0.1
) -> None:
    """Wait for something to become true."""
    deadline = time.monotonic() + patience_s
    while not true():
        assert time.monotonic() < deadline, f"not within {patience_s:.0f} s: {what}"
        time.sleep(pause_s)


def newest_job(settings: Settings) -> Job:
    """The job that was deployed last."""
    return Cluster.of(settings).jobs(JOB)[0]


def ask_flink(settings: Settings, path: str) -> Any:
    """What the cluster answers at a path of its REST interface."""
    with urllib.request.urlopen(f"http://{Cluster.of(settings).address}{path}") as answer:
        return json.load(answer)


def counted(settings: Settings, counter: str) -> int:
    """The sum of one of our counters over the subtasks of the newest job."""
    job = newest_job(settings).job_id
    total = 0
    for vertex in ask_flink(settings, f"/jobs/{job}")["vertices"]:
        subtasks = f"/jobs/{job}/vertices/{vertex['id']}/subtasks/metrics"
        names = [m["id"] for m in ask_flink(settings, subtasks) if m["id"].endswith(counter)]
        if names:
            found = ask_flink(settings, f"{subtasks}?get={','.join(names)}&agg=sum")
            total += sum(int(one["sum"]) for one in found)
    return total


def completed(settings: Settings) -> int:
    """How many checkpoints the newest job has completed."""
    cluster = Cluster.of(settings)
    return int(cluster.checkpoints(newest_job(settings)).get("counts", {}).get("completed", 0))


def until_checkpoints(settings: Settings, more: int) -> None:
    """Wait until the newest job has completed some more checkpoints."""
    wanted = completed(settings) + more
    until(lambda: completed(settings) >= wanted, f"{more} more checkpoints")


def has_told(config: Mapping[str, str], topic: str) -> bool:
    """Whether the newest job has told that all of a topic is in a checkpoint."""
    group = f"{JOB}-{deployments(config, 'fraud')[-1].epoch}"
    wanted = {p: end for p, (_, end) in ends(config, topic).items() if end}
    return wanted.items() <= reached(config, group, topic).items()


def until_told(config: Mapping[str, str], topic: str) -> None:
    """Wait until it has."""
    until(lambda: has_told(config, topic), f"all of {topic} is in a checkpoint")


def require_right(settings: Settings, rows: int) -> list[dict[str, Any]]:
    """See that there is one right decision for each transaction, and the alerts that belong to it.

    The job has to run: it is asked for every label in the end.

    Returns:
        The decisions.
    """
    config = kafka_config(settings)
    decided = decisions(config, rows)
    counts = Counter(one["id"] for one in decided)
    assert len(counts) == rows
    assert set(counts.values()) == {1}
    _require_the_oracle_s(decided)
    facts = facts_by_terminal(config)
    require_the_terminals(decided, facts)
    assert complete(decided, "terminal_risk") == 1
    with_labels = [one for one in decided if one["features"]["terminal_risk__count_30d_delayed_7d"]]
    assert len(with_labels) > rows / 2
    _require_their_alerts(settings, decided)
    _require_every_label(settings, decided, facts)
    return decided


def facts_by_terminal(config: Mapping[str, str]) -> dict[str, list[dict[str, Any]]]:
    """The labels of each terminal, in the order in which the job reads them."""
    found: dict[str, list[tuple[int, int, dict[str, Any]]]] = {}
    for message in chain.from_iterable(records_now(config, "transaction_labels")):
        fact = as_row(fraud.labels.schema, json.loads(message.value() or b""))
        place = (message.partition() or 0, message.offset() or 0)
        found.setdefault(fact["terminal_id"], []).append((*place, fact))
    for facts in found.values():
        facts.sort(key=lambda one: one[:2])
        # Else nobody knows their order.
        assert len({partition for partition, _, _ in facts}) == 1
    for message in chain.from_iterable(records_now(config, "late-events")):
        assert json.loads(message.value() or b"")["source"] != "transaction_labels"
    return {terminal: [fact for _, _, fact in facts] for terminal, facts in found.items()}


def require_the_terminals(
    decided: list[dict[str, Any]], facts: Mapping[str, list[dict[str, Any]]]
) -> None:
    """See that each decision has the values of as many labels of its terminal as it tells."""
    view = fraud.terminal_risk
    for one in decided:
        event, told = one["event"], one["views"]["terminal_risk"]
        there = facts.get(event["terminal_id"], [])
        assert 0 <= told["sequence"] <= len(there), one["id"]
        assert told["status"] in {"complete", "late"}
        values: Mapping[str, object] = dict.fromkeys(view.feature_names)
        if told["status"] == "complete":
            row = SpineRow(event["terminal_id"], event["event_time"], one["id"])
            values = oracle.values(view, there[: told["sequence"]], [row])[0]
        found = {name: bits(one["features"][f"terminal_risk__{name}"]) for name in values}
        assert found == {name: bits(value) for name, value in values.items()}, one["id"]


def _require_every_label(
    settings: Settings,
    decided: list[dict[str, Any]],
    facts: Mapping[str, list[dict[str, Any]]],
) -> None:
    """See that no state has lost a label, not the newest either, and none is in it twice.

    Each terminal is asked once more, after all of its labels were read.
    """
    config = kafka_config(settings)
    until_told(config, "transaction_labels")
    newest_ms = max(one["event"]["event_time"] for one in decided)
    asking = [
        {
            **decided[0]["event"],
            "transaction_id": f"asking {terminal}",
            "card_id": f"card at {terminal}",
            "terminal_id": terminal,
            "event_time": newest_ms,
        }
        for terminal in facts
    ]
    send_events(config, "transactions", "card_id", asking)
    ids = {event["transaction_id"] for event in asking}
    everyone = decisions(config, len(decided) + len(asking))
    answers = [one for one in everyone if one["id"] in ids]
    assert len(answers) == len(asking)
    assert complete(answers, "terminal_risk") == 1
    for one in answers:
        there = facts[one["event"]["terminal_id"]]
        assert one["views"]["terminal_risk"]["sequence"] == len(there), one["id"]
    require_the_terminals(answers, facts)


def _require_the_oracle_s(decided: list[dict[str, Any]]) -> None:
    by_card: dict[str, list[dict[str, object]]] = {}
    for one in sorted(decided, key=lambda o: int(o["views"]["card_activity"]["sequence"])):
        seen = by_card.setdefault(one["event"]["card_id"], [])
        seen.append(one["event"])
        # Offsets and state agree: nothing was absorbed twice, and nothing left out.
        assert one["views"]["card_activity"]["sequence"] == len(seen)
        row = SpineRow(one["event"]["card_id"], one["event"]["event_time"], one["id"])
        expected = oracle.values(fraud.card_activity, seen, [row])[0]  # type: ignore[arg-type] # JSON
        found = {name: one["features"][f"card_activity__{name}"] for name in expected}
        assert {n: bits(v) for n, v in found.items()} == {n: bits(v) for n, v in expected.items()}
        rules = fired(fraud.card_decisions, one["event"], one["features"])
        assert tuple(one["rules"]) == rules
        assert one["flagged"] == bool(rules)


def _require_their_alerts(settings: Settings, decided: list[dict[str, Any]]) -> None:
    """The last record of an id tells what was decided."""
    flagged = {one["id"]: one for one in decided if one["flagged"]}
    assert flagged
    last: dict[str, Mapping[str, Any]] = {}
    for message in received(kafka_config(settings), "alerts", len(flagged)):
        alert = json.loads(message.value() or b"")
        last[alert["id"]] = alert
    assert {i for i, alert in last.items() if not alert["retracted"]} == set(flagged)
    for key, one in flagged.items():
        assert last[key] == {**one, "retracted": False}
