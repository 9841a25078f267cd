"""Days that Airflow runs end with what one direct run makes, whatever is killed.

Of published transactions where they are, else of simulated ones; as many days as
HEADRACE_AIRFLOW_DAYS says.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from conftest import HANDBOOK
from headrace_batch.days import begins_ms
from headrace_batch.ingest.run import ingest
from headrace_batch.simulator import simulate
from headrace_batch.warehouse import Warehouse
from headrace_features.project import load_project
from headrace_schemas.settings import Settings
from lakes import FEW, settings_in
from landings import in_one_go, land, require_the_same
from scheduled.airflows import DAILY, Airflow

pytestmark = pytest.mark.timeout(7_200)

HEADRACE = str(Path(sys.executable).with_name("headrace"))
#: The first labels are known a week after the first transactions.
FIRST = date(2018, 4, 8)
NUMBER = int(os.environ.get("HEADRACE_AIRFLOW_DAYS", "4"))
DAYS = [FIRST + timedelta(days) for days in range(NUMBER)]
#: Days that are run one by one; the others are a back-fill.
ONE_BY_ONE = DAYS[: NUMBER - NUMBER // 3 - 1]
FILLED = DAYS[len(ONE_BY_ONE) :]


def events(folder: Path) -> dict[str, pa.Table]:
    """Transactions and labels that are known by the last day."""
    published = os.environ.get(HANDBOOK)
    if not published:
        simulated = simulate(FEW)
        found = {"transactions": simulated.transactions, "transaction_labels": simulated.labels}
    else:
        settings = settings_in(folder)
        project = load_project(settings)
        ingest(settings, project, f"{published}/transactions.parquet", file_format="handbook")
        found = {
            source.name: Warehouse.of(settings).read(
                source.table,
                [column.name for column in source.columns],
                pc.field("event_time") < begins_ms(DAYS[-1] + timedelta(1)),
            )
            for source in project.sources.values()
        }
    return found


@pytest.fixture(scope="module")
def landing(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """Files of days, and where `[ingest]` finds them."""
    folder = tmp_path_factory.mktemp("landing")
    return folder, land(folder, events(tmp_path_factory.mktemp("events")), FIRST)


@pytest.fixture(scope="module")
def prepared(
    landing: tuple[Path, str], tmp_path_factory: pytest.TempPathFactory
) -> tuple[Airflow, Settings]:
    """An Airflow that has run the first days one by one, and what a direct run makes of these."""
    airflow = Airflow(tmp_path_factory.mktemp("airflow"), landing[1])
    airflow.prepare()
    airflow.test(ONE_BY_ONE)
    return airflow, in_one_go(tmp_path_factory.mktemp("direct"), landing[0], ONE_BY_ONE)


def copied(airflow: Airflow, home: Path, **options: Any) -> Airflow:
    """Another one, with a copy of the data that the first days have left."""
    shutil.copytree(airflow.home, home, ignore=shutil.ignore_patterns("airflow"))
    other = Airflow(home, airflow.where, **options)
    other.prepare(like=airflow.home)
    return other


def test_days_one_by_one_are_one_direct_run(prepared: tuple[Airflow, Settings]) -> None:
    airflow, direct = prepared
    require_the_same(settings_in(airflow.home), direct, ONE_BY_ONE[-1])


def test_a_back_fill_of_days_by_the_scheduler_is_one_direct_run(
    prepared: tuple[Airflow, Settings], landing: tuple[Path, str], tmp_path: Path
) -> None:
    airflow = copied(prepared[0], tmp_path / "home")
    fill(airflow, FILLED, FILLED[-1])
    direct = in_one_go(tmp_path / "direct", landing[0], DAYS)
    require_the_same(settings_in(airflow.home), direct, DAYS[-1])
    require_lineage(airflow.home / "lineage")


def fill(airflow: Airflow, days: Sequence[date], again: date | None = None) -> None:
    """Have the scheduler run days, by Airflow's own back-fill, and then one of them again."""
    with airflow.scheduling():
        airflow.run("dags", "unpause", DAILY, "--yes")
        airflow.run(
            *("backfill", "create", "--dag-id", DAILY),
            *("--from-date", days[0].isoformat(), "--to-date", days[-1].isoformat()),
            *("--reprocess-behavior", "failed"),
        )
        done(airflow, len(days))
        if again is not None:
            between = ("--start-date", f"{again}T00:00:00", "--end-date", f"{again}T23:59:59")
            airflow.run("tasks", "clear", DAILY, *between, "--yes")
            done(airflow, len(days))


def done(airflow: Airflow, days: int) -> None:
    """Wait until a back-fill of some days has ended well."""
    while (states := airflow.states("backfill")) != {"success": days}:
        assert not states["failed"], states
        time.sleep(1)


def require_lineage(folder: Path) -> None:
    """See that the runs of commands name the tasks of which Airflow tells."""
    told: dict[bool, list[dict[str, Any]]] = {True: [], False: []}
    for path in folder.glob("*.ndjson"):
        for line in path.read_text().splitlines():
            told[path.name == "airflow.ndjson"].append(json.loads(line))
    tasks = {event["run"]["runId"]: event["job"]["name"] for event in told[True]}
    parents = {
        tasks.get(event["run"].get("facets", {}).get("parent", {}).get("run", {}).get("runId"))
        for event in told[False]
    }
    steps = {"ingest_transactions", "backfill_card_activity", "materialize_card_activity"}
    assert {f"daily_features.{step}" for step in steps} <= parents


def test_tasks_that_are_killed_are_done_again_by_airflow(
    prepared: tuple[Airflow, Settings], landing: tuple[Path, str], tmp_path: Path
) -> None:
    wrapper = tmp_path / "headrace"
    # The first time the command is killed, after up to a second and a half. The second time it is
    # the task, and its command goes on beside the third one.
    wrapper.write_text(
        "#!/bin/sh\n"
        f'[ $1 = run ] && exec {HEADRACE} "$@"\n'
        "number=$(echo \"$@\" | cksum | cut -d ' ' -f 1)\n"
        f"if mkdir {tmp_path}/first-$number; then\n"
        f'    {HEADRACE} "$@" &\n'
        '    sleep $(awk "BEGIN { print ($number % 150) / 100 }")\n'
        "    kill -KILL $!\n"
        "    kill -KILL $$\n"
        "fi\n"
        f"if mkdir {tmp_path}/second-$number; then\n"
        "    kill -KILL $PPID\n"
        "    sleep $((number % 5))\n"
        "fi\n"
        f'exec {HEADRACE} "$@"\n'
    )
    wrapper.chmod(0o755)
    airflow = copied(prepared[0], tmp_path / "home", command=str(wrapper), is_impatient=True)
    fill(airflow, FILLED[:1])
    tries = airflow.tries("backfill")
    assert len(tries) == 8
    assert min(tries.values()) >= 3, tries
    direct = in_one_go(tmp_path / "direct", landing[0], [*ONE_BY_ONE, FILLED[0]])
    require_the_same(settings_in(airflow.home), direct, FILLED[0])


def test_the_same_day_in_airflow_and_by_hand_at_once_has_one_result(
    prepared: tuple[Airflow, Settings], landing: tuple[Path, str], tmp_path: Path
) -> None:
    airflow = copied(prepared[0], tmp_path / "home")
    line = [HEADRACE, "run", "daily", "--date", FILLED[0].isoformat()]
    with subprocess.Popen(
        line, env=airflow.environ, cwd=airflow.home, stderr=subprocess.PIPE, text=True
    ) as by_hand:
        airflow.test(FILLED[:1])
        _, error = by_hand.communicate(timeout=120)
    # One of the two may have been in the other's way; Airflow tries again.
    assert by_hand.returncode in {0, 75}, error
    direct = in_one_go(tmp_path / "direct", landing[0], [*ONE_BY_ONE, FILLED[0]])
    require_the_same(settings_in(airflow.home), direct, FILLED[0])
