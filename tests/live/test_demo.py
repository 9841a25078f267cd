"""The demonstration runs the whole path, on generated data and on a file."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from headrace_batch.simulator import simulate
from lakes import FEW

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


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Files of simulated transactions and labels."""
    folder = tmp_path_factory.mktemp("files")
    simulated = simulate(FEW)
    pq.write_table(simulated.transactions, folder / "transactions.parquet")
    pq.write_table(simulated.labels, folder / "labels.parquet")
    return folder


def test_it_takes_transactions_with_their_labels(tmp_path: Path, files: Path) -> None:
    given = [
        "--transactions",
        f"{files}/transactions.parquet",
        "--labels",
        f"{files}/labels.parquet",
    ]
    done = demo(tmp_path, *given, "--json")
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    names = [step["name"] for step in report["steps"]]
    assert names[:2] == ["ingest transactions", "ingest transaction_labels"]
    assert "materialize terminal_risk" in names
    assert report["story"]["entities"].keys() == {"card_id", "terminal_id"}


def test_without_labels_it_shows_what_transactions_alone_give(tmp_path: Path, files: Path) -> None:
    done = demo(tmp_path, "--transactions", f"{files}/transactions.parquet")
    assert done.returncode == 0, done.stderr
    assert "✓ materialize card_activity" in done.stderr
    assert "terminal_risk" not in done.stderr
    assert "labels are given by --labels FILE" in done.stdout
    (suggested,) = [line for line in done.stdout.splitlines() if "features get" in line]
    asked = suggested.partition("features get")[2].split()
    home = {"HEADRACE_HOME": str(tmp_path / "home" / "demo")}
    got = subprocess.run(
        [HEADRACE, "features", "get", *asked, "--json"],
        env={**os.environ, **home},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert json.loads(got.stdout)["features"]["card_activity__count_30d"] > 0


def test_a_missing_file_leaves_the_former_demonstration_as_it_was(tmp_path: Path) -> None:
    kept = tmp_path / "home" / "demo" / ".headrace-demo"
    kept.parent.mkdir(parents=True)
    kept.touch()
    (kept.parent / "online.db").touch()
    done = demo(tmp_path, "--transactions", "none.parquet")
    assert done.returncode == 78
    assert done.stderr == "headrace: there is no file 'none.parquet'\n"
    assert (kept.parent / "online.db").exists()


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
