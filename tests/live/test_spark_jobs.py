"""The jobs run as plain scripts below the real spark-submit, on any project."""

from __future__ import annotations

import os
import subprocess
import sys
from datetime import date
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from conftest import JAVA_OPTIONS
from headrace_batch.local_engine import LocalEngine
from headrace_batch.warehouse import Warehouse
from headrace_features.fraud.definitions import card_activity, fraud
from headrace_features.java import java_home
from headrace_schemas.topics import Topic
from headrace_streaming.kafka.topics import create_topics
from ingestion import transactions
from lakes import settings_in, unwatched, write_events, write_simulated
from late_lakes import written
from streams import broker_in, send_events

JOBS = Path(__file__).parents[2] / "batch" / "headrace_batch" / "jobs"
SUBMIT = str(Path(sys.executable).with_name("spark-submit"))

DEFINITIONS = """
from headrace_features import Count, Entity, EventSource, FeatureView, Sliding
from headrace_schemas.events import Event

class Visit(Event, frozen=True, kw_only=True):
    event_id: str
    user_id: str
    event_time: int
    page: str | None = None

visits = FeatureView("visits", 1, Entity("user", "user_id"), EventSource("visits", Visit),
                     [Count(windows=[Sliding("1h")])], filter="page <> 'robots'")
"""


def submit(
    job: str, *arguments: str, cwd: Path, **environ: str
) -> subprocess.CompletedProcess[str]:
    """Run a script of the jobs as its users do."""
    return subprocess.run(
        [
            *(SUBMIT, "--master", "local[2]", "--driver-java-options", JAVA_OPTIONS),
            *(str(JOBS / f"{job}.py"), *arguments),
        ],
        cwd=cwd,
        env={
            **{name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ},
            "JAVA_HOME": str(java_home()),
            "PYSPARK_PYTHON": sys.executable,
            **environ,
        },
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )


def test_the_history_job_gives_what_the_local_engine_gives(tmp_path: Path) -> None:
    settings = settings_in(tmp_path / "home")
    write_simulated(settings)
    spine = Warehouse.of(settings).read("bronze.transactions").slice(500, 60)
    pq.write_table(spine, tmp_path / "spine.parquet")

    ran = submit(
        "history",
        *("--service", "fraud", "--spine", "spine.parquet", "--out", "out.parquet"),
        cwd=tmp_path,
        HEADRACE_HOME=str(tmp_path / "home"),
    )

    assert ran.returncode == 0, ran.stderr
    assert ran.stdout == "60 rows → out.parquet\n"
    expected = LocalEngine(settings).history(fraud.selections, spine)
    assert pq.read_table(tmp_path / "out.parquet").equals(expected)


def test_the_backfill_job_works_on_a_project_whose_modules_no_worker_has(tmp_path: Path) -> None:
    (tmp_path / "headrace.toml").write_text(
        'home = "data"\n[project]\nname = "web"\ndefinitions = ["visits"]\n'
    )
    (tmp_path / "visits.py").write_text(DEFINITIONS)
    settings = settings_in(tmp_path, HEADRACE_HOME=str(tmp_path / "data"))
    write_events(
        settings,
        "bronze.visits",
        pa.table(
            {
                "event_id": ["1", "2", "3"],
                "user_id": ["u", "u", "u"],
                "event_time": [1_600_041_600_000, 1_600_041_700_000, 1_600_041_800_000],
                "page": ["home", "robots", "cart"],
            }
        ),
    )

    ran = submit("backfill", "--view", "visits", "--start", "2020-09-14", cwd=tmp_path)

    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.startswith("visits: 2 rows from 2020-09-14 to 2020-09-14 in ")
    features = Warehouse.of(settings).read("features.visits_v1", ["event_id", "count_1h"])
    assert sorted(features.to_pylist(), key=str) == [
        {"event_id": "1", "count_1h": 1},
        {"event_id": "3", "count_1h": 2},
    ]


def test_the_materialize_job_brings_the_online_store_up_to_a_day(tmp_path: Path) -> None:
    settings, other = (settings_in(tmp_path / name) for name in ("home", "local"))
    for one in (settings, other):
        write_simulated(one)

    ran = submit(
        "materialize",
        *("--view", "card_activity", "--date", "2018-05-10"),
        cwd=tmp_path,
        HEADRACE_HOME=str(settings.home),
    )

    assert ran.returncode == 0, ran.stdout + ran.stderr
    expected = LocalEngine(other).materialize(card_activity, date(2018, 5, 10), unwatched)
    assert ran.stdout.startswith(
        f"card_activity: {expected.events} new events of {expected.entities} entities, "
        "up to 2018-05-11 00:00 UTC, in "
    )
    assert written(settings) == written(other)


def test_the_job_from_kafka_finds_the_connector_and_takes_a_topic_in(tmp_path: Path) -> None:
    with broker_in(tmp_path / "broker") as kafka:
        create_topics(kafka, [Topic("transactions", key="card_id")])
        send_events(kafka, "transactions", "card_id", transactions(0, 20))

        ran = submit(
            "ingest_kafka",
            *("--source", "transactions"),
            cwd=tmp_path,
            HEADRACE_KAFKA_BOOTSTRAP_SERVERS=kafka["bootstrap.servers"],
        )

    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert ran.stdout.startswith("transactions: 20 of 20 rows, 0 duplicates, 0 rejected")
    settings = settings_in(tmp_path / ".headrace")
    assert Warehouse.of(settings).read("bronze.transactions").num_rows == 20


@pytest.mark.parametrize(
    ("job", "arguments", "words", "status"),
    [
        ("backfill", ["--start", "2020-01-02", "--end", "2020-01-01"], "no table bronze", 78),
        ("history", ["--spine", "none", "--out", "out"], "no features are asked for", 78),
        ("materialize", ["--date", "2098-01-01"], "--date: 2098-01-01 has not begun", 78),
        ("ingest_kafka", [], "which broker has the topics?", 78),
    ],
)
def test_a_mistake_is_one_line_and_a_status(
    job: str, arguments: list[str], words: str, status: int, tmp_path: Path
) -> None:
    ran = submit(job, *arguments, cwd=tmp_path)
    assert ran.returncode == status
    # Below spark-submit both streams of a script are its standard output.
    lines = ran.stdout.splitlines()
    assert len(lines) == 1
    assert lines[0].startswith(f"{job}: ")
    assert words in lines[0]


@pytest.mark.parametrize("job", ["backfill", "history", "ingest", "ingest_kafka", "materialize"])
def test_help_says_where_settings_come_from(job: str) -> None:
    ran = subprocess.run(
        [sys.executable, str(JOBS / f"{job}.py"), "--help"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert "headrace.toml" in ran.stdout
    assert "PYSPARK_PYTHON" in ran.stdout
