"""The demonstration runs the whole path, on generated data and on a file."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

HEADRACE = str(Path(sys.executable).with_name("headrace"))


def demo(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [HEADRACE, "demo", *arguments],
        env={**os.environ, "HEADRACE_HOME": str(folder / "home")},
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        timeout=180,
    )


def test_the_demonstration_ends_with_features_around_a_fraud(tmp_path: Path) -> None:
    done = demo(tmp_path, "--cards", "300", "--days", "60", "--json")
    assert done.returncode == 0, done.stderr
    report: dict[str, Any] = json.loads(done.stdout)
    assert [step["name"] for step in report["steps"]] == [
        "simulate",
        "ingest transactions",
        "ingest transaction_labels",
        "backfill card_activity",
        "backfill terminal_risk",
        "apply",
        "materialize card_activity",
        "materialize terminal_risk",
        "read online by Feast",
    ]
    rows = {step["rows"] for step in report["steps"][:5]}
    assert len(rows) == 1, "every event goes through every step"
    card = report["story"]["features"]["card_activity"]
    before, with_it = card["count_30d"][:2]
    assert with_it == before + 1
    assert card["amount_minor_mean_1d"][1] > 2 * card["amount_minor_mean_30d"][1]
    assert Path(report["home"]) == tmp_path / "home" / "demo"


def test_it_runs_again_in_its_own_folder_and_shows_tables(tmp_path: Path) -> None:
    for _ in range(2):
        done = demo(tmp_path, "--cards", "100", "--days", "45")
        assert done.returncode == 0, done.stderr
        assert "What was done" in done.stdout
        assert "Try next:" in done.stdout


def test_it_leaves_a_folder_alone_that_it_has_not_made(tmp_path: Path) -> None:
    kept = tmp_path / "home" / "demo" / "mine.txt"
    kept.parent.mkdir(parents=True)
    kept.write_text("mine", encoding="utf-8")
    done = demo(tmp_path)
    assert done.returncode != 0
    assert "was not made by the demonstration" in done.stderr
    assert kept.read_text(encoding="utf-8") == "mine"


@pytest.mark.handbook
def test_it_takes_published_transactions(tmp_path: Path, handbook: Path) -> None:
    done = demo(
        tmp_path,
        "--transactions",
        str(handbook / "transactions.parquet"),
        "--format",
        "handbook",
        "--json",
    )
    assert done.returncode == 0, done.stderr
    steps = {step["name"]: step["rows"] for step in json.loads(done.stdout)["steps"]}
    assert steps["ingest transactions"] == steps["backfill card_activity"] == 872_795
