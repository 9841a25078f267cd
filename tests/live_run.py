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
from pathlib import Path
from typing import Any

from headrace_batch.simulator import config_for_rows
from headrace_features import oracle
from headrace_features.decisions import fired
from headrace_features.fraud import definitions as fraud
from headrace_features.oracle import SpineRow
from headrace_orchestration.live_simulation import live_records
from headrace_schemas.settings import Settings
from headrace_streaming.job.cluster import Cluster, Job
from headrace_streaming.kafka.clients import kafka_config
from headrace_streaming.kafka.disorder import Sent
from headrace_streaming.kafka.sender import send
from headrace_streaming.services.embedded import Service, is_free, read_book
from headrace_streaming.services.processes import Started, is_alive
from histories import bits
from streams import PATIENCE_S, decisions, received

JOB = "headrace-fraud"


def records(rows: int, seed: int = 5) -> list[Sent]:
    """The records of some transactions and of their labels, in the order of sending."""
    return list(live_records(config_for_rows(rows, seed=seed)))


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


def require_right(settings: Settings, rows: int) -> list[dict[str, Any]]:
    """See that there is one right decision for each transaction, and the alerts that belong to it.

    Returns:
        The decisions.
    """
    decided = decisions(kafka_config(settings), rows)
    counts = Counter(one["id"] for one in decided)
    assert len(counts) == rows
    assert set(counts.values()) == {1}
    _require_the_oracle_s(decided)
    _require_their_alerts(settings, decided)
    return decided


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
