"""The published transactions through Kafka and Flink: decisions against batch, row by row."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from headrace_schemas.settings import load
from headrace_streaming.job.cluster import Cluster
from streams import headrace

# The whole set goes through a broker and a cluster on this machine.
pytestmark = [pytest.mark.handbook, pytest.mark.timeout(1_800)]

ROWS = 872_795


@pytest.fixture
def home(handbook: Path, tmp_path: Path) -> Iterator[Path]:
    """A broker that has all transactions and labels, and a cluster.

    One for each run: what is decided already is not decided again.
    """
    try:
        headrace(tmp_path, "up")
        file = str(handbook / "transactions.parquet")
        sent = headrace(tmp_path, "send", "--file", file, "--format", "handbook", "--json")
        assert json.loads(sent.stdout)["records"] == 2 * ROWS
        yield tmp_path
    finally:
        headrace(tmp_path, "down")


def drained(home: Path, mode: str) -> Any:
    """What parity says of a run in some mode that has read all there is."""
    told = headrace(home, "stream", "deploy", "--mode", mode, "--bounded", "--fresh", "--json")
    deployed = json.loads(told.stdout)["job"]
    cluster = Cluster.of(load(home, {"HEADRACE_HOME": str(home)}))
    while True:
        (job,) = (job for job in cluster.jobs(deployed["name"]) if job.job_id == deployed["job_id"])
        if job.state == "FINISHED":
            break
        assert not job.ended, cluster.failure(job)
        time.sleep(1)  # between two looks at the cluster
    # Its sources keep in pace to the end without failing.
    assert cluster.checkpoints(job)["counts"]["restored"] == 0
    out = home / f"{mode}.jsonl"
    told = headrace(home, "parity", "--sample", "50", "--out", str(out), "--json", check=False)
    assert told.returncode == 0, told.stdout[-4000:] + told.stderr
    return json.loads(told.stdout)


def rows(found: Any) -> dict[tuple[str, str], tuple[int, int]]:
    """How many rows were compared and how many are equal, by promise and view."""
    return {(one["promise"], one["view"]): (one["rows"], one["equal"]) for one in found["promises"]}


def test_in_ordered_mode_every_decision_has_the_batch_values(home: Path) -> None:
    found = drained(home, "ordered")
    assert found["decided"] == {"fraud": ROWS}
    assert (found["unexplained"], found["findings"], found["waiting"]) == (0, [], 0)
    compared = rows(found)
    for promise in ("P2", "P3"):
        for view in ("card_activity", "terminal_risk"):
            assert compared[promise, view] == (ROWS, ROWS)
    assert all(rows == equal for rows, equal in compared.values())
    assert (home / "ordered.jsonl").read_text() == ""


def test_in_immediate_mode_every_difference_is_listed_with_its_reason(home: Path) -> None:
    found = drained(home, "immediate")
    assert found["decided"] == {"fraud": ROWS}
    assert (found["unexplained"], found["findings"]) == (0, [])
    compared = rows(found)
    for view in ("card_activity", "terminal_risk"):
        assert compared["P2", view] == (ROWS, ROWS)
    listed: dict[str, set[str]] = {"card_activity": set(), "terminal_risk": set()}
    with (home / "immediate.jsonl").open() as lines:
        for line in lines:
            difference = json.loads(line)
            assert difference["reason"] != "unexplained"
            assert difference["explained_by"]
            listed[difference["view"]].add(difference["event"])
    assert {view: len(events) for view, events in listed.items()} == {
        view: ROWS - compared["P3", view][1] for view in listed
    }
    assert listed["card_activity"]  # transactions of one card in one second
