"""A command whose JVM alone is killed, as where memory runs out, says that it may work later."""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import suppress
from datetime import date
from pathlib import Path

import psutil
import pytest

from conftest import SPARK
from headrace_batch.ingest.run import ingest
from headrace_batch.local_engine import LocalEngine
from headrace_batch.warehouse import Warehouse
from headrace_features.fraud.definitions import card_activity
from headrace_schemas.settings import Settings
from ingestion import fraud_project, settings_in, stored, write_handbook
from lakes import write_simulated

HEADRACE = str(Path(sys.executable).with_name("headrace"))
FIRST, LAST = date(2018, 4, 10), date(2018, 4, 24)
FEATURES = "features.card_activity_v1"


def started(settings: Settings, *arguments: object) -> subprocess.Popen[str]:
    """The command on Spark, at work."""
    return subprocess.Popen(
        [HEADRACE, *map(str, arguments), "--engine", "spark"],
        env={**os.environ, **SPARK, "HEADRACE_HOME": str(settings.home)},
        cwd=settings.home,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def jvm_killed(settings: Settings, table: str, *arguments: object) -> tuple[int, str]:
    """How a command ends whose JVM is killed while it writes a table, and what it says."""
    folder = Path(Warehouse.of(settings).uri(table))
    with started(settings, *arguments) as run:
        while not any(folder.rglob("part-*.parquet")):
            # Both cores are needed there: no busy waiting here.
            with suppress(subprocess.TimeoutExpired):
                run.wait(timeout=0.005)
                pytest.fail(f"it has ended before it wrote a file: {run.communicate()}")
        (jvm,) = (one for one in psutil.Process(run.pid).children() if one.name() == "java")
        jvm.kill()
        _, error = run.communicate(timeout=120)
        return run.returncode, error


def require_one_line_of_what_may_work_later(ended: tuple[int, str]) -> None:
    status, error = ended
    assert status == 75, error
    assert error.count("\n") == 1, error
    assert "the JVM of Spark has ended" in error


@pytest.fixture
def homes(tmp_path: Path) -> tuple[Settings, Settings]:
    """An empty lake, and another for what a clean run leaves."""
    made = []
    for name in ("killed", "clean"):
        (tmp_path / name / ".headrace").mkdir(parents=True)
        made.append(settings_in(tmp_path / name))
    return made[0], made[1]


def test_a_backfill_whose_jvm_is_killed_may_work_later_and_then_has_the_clean_result(
    homes: tuple[Settings, Settings],
) -> None:
    for one in homes:
        write_simulated(one)
    killed, clean = homes
    LocalEngine(clean).backfill(card_activity, FIRST, LAST)
    command = ("backfill", "--view", "card_activity", "--start", FIRST, "--end", LAST)

    require_one_line_of_what_may_work_later(jvm_killed(killed, FEATURES, *command))
    assert Warehouse.of(killed).read(FEATURES).num_rows == 0

    # Either engine goes on with what the other has begun.
    LocalEngine(killed).backfill(card_activity, FIRST, LAST)
    found, expected = (
        Warehouse.of(one).read(FEATURES).sort_by("transaction_id") for one in (killed, clean)
    )
    assert found.equals(expected)


def test_an_ingest_whose_jvm_is_killed_may_work_later_and_then_has_the_clean_result(
    homes: tuple[Settings, Settings], tmp_path: Path
) -> None:
    killed, clean = homes
    file = write_handbook(tmp_path / "rows.parquet", 900)
    ingest(clean, fraud_project(clean), str(file), file_format="handbook")
    command = ("ingest", "--file", file, "--format", "handbook")

    ended = jvm_killed(killed, "bronze.transactions", *command)
    require_one_line_of_what_may_work_later(ended)
    assert stored(killed, "bronze.transactions") == []

    with started(killed, *command) as again:
        told = again.communicate(timeout=300)
    assert again.returncode == 0, told
    for table in ("transactions", "transaction_labels"):
        for of in ("bronze", "quarantine"):
            assert stored(killed, f"{of}.{table}") == stored(clean, f"{of}.{table}")
