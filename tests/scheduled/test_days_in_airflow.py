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
import pyarrow.parquet as pq
import pytest

from conftest import HANDBOOK
from headrace_batch.days import begins_ms
from headrace_batch.ingest.run import ingest
from headrace_batch.simulator import simulate
from headrace_batch.warehouse import Warehouse
from headrace_features.fraud.definitions import card_activity
from headrace_features.project import load_project
from headrace_schemas.settings import Settings
from lakes import FEW, settings_in
from landings import histories, in_one_go, keys_in, land, online, require_the_same
from scheduled import killed_headrace
from scheduled.airflows import DAILY, Airflow, killed_at_first

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
    other = Airflow(home, **{"where": airflow.where, **options})
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
    with airflow.scheduling() as api:
        api.unpause(DAILY)
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


@pytest.fixture(scope="module")
def one_more(landing: tuple[Path, str], tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """What a direct run makes of the first days and the one after them."""
    days = [*ONE_BY_ONE, FILLED[0]]
    return in_one_go(tmp_path_factory.mktemp("one_more"), landing[0], days)


def gated(airflow: Airflow, place: Path, landing: Path, **options: Any) -> Airflow:
    """A copy in a folder whose project has one of the views, and a gate before it."""
    folder = place / "gated"
    folder.mkdir()
    (folder / "headrace.toml").write_text('[project]\nname = "fraud"\ndefinitions = ["gated"]\n')
    (folder / "gated.py").write_text(
        "from headrace_features import Gate, Volume\n"
        "from headrace_features.fraud.definitions import card_activity, transactions\n"
        "gate = Gate(transactions, [Volume(at_least=0.7, at_most=1.5, of_last=7)])\n"
    )
    where = json.dumps({"transactions": f"{landing}/{{date}}/transactions.parquet"})
    return copied(airflow, place / "home", where=where, folder=folder, **options)


def test_tasks_that_are_killed_amid_their_work_are_done_again_by_airflow(
    prepared: tuple[Airflow, Settings],
    landing: tuple[Path, str],
    one_more: Settings,
    tmp_path: Path,
) -> None:
    marks = tmp_path / "marks"
    command = killed_at_first(tmp_path, marks)
    airflow = gated(prepared[0], tmp_path, landing[0], command=command, is_impatient=True)
    fill(airflow, FILLED[:1])
    # Each was at work when it was killed, and when its task was.
    assert {mark.name for mark in marks.iterdir()} == {
        f"{command}-{kind}"
        for command in killed_headrace.MOMENTS
        for kind in (killed_headrace.KILLED, killed_headrace.ALONE, killed_headrace.AGAIN)
    }
    tries = airflow.tries("backfill")
    assert tries.pop("probe_card_activity") == 1
    assert tries.keys() == {
        "ingest_transactions",
        "validate_transactions",
        "backfill_card_activity",
        "materialize_card_activity",
    }
    assert min(tries.values()) >= 3, tries
    require_the_same(settings_in(airflow.home), one_more, FILLED[0], [card_activity])


def test_half_a_day_is_stopped_by_its_gate_until_all_of_it_has_come(
    prepared: tuple[Airflow, Settings],
    landing: tuple[Path, str],
    one_more: Settings,
    tmp_path: Path,
) -> None:
    day = FILLED[0]
    landed = Path(shutil.copytree(landing[0] / str(day), tmp_path / "landing" / str(day)))
    whole = pq.read_table(landed / "transactions.parquet")
    pq.write_table(whole.slice(0, len(whole) // 2), landed / "transactions.parquet")
    airflow = gated(prepared[0], tmp_path, landed.parent)
    settings = settings_in(airflow.home)
    # Half of a day may be the first that comes of a card.
    cards = keys_in(settings, card_activity)
    served = online(settings, day, [card_activity], cards)
    history = histories(settings, [card_activity])
    told = airflow.test_failing(day)
    assert f"bronze.transactions of {day} fails its gate: volume is 0." in told
    for task, state in (
        ("ingest_transactions", "success"),
        ("validate_transactions", "failed"),
        ("backfill_card_activity", "upstream_failed"),
        ("materialize_card_activity", "upstream_failed"),
        ("probe_card_activity", "upstream_failed"),
    ):
        assert f"'{task}': ('{state}', " in told, told[-4000:]
    assert online(settings, day, [card_activity], cards) == served
    assert histories(settings, [card_activity]) == history

    pq.write_table(whole, landed / "transactions.parquet")
    airflow.test([day])
    require_the_same(settings, one_more, day, [card_activity])


def test_the_same_day_in_airflow_and_by_hand_at_once_has_one_result(
    prepared: tuple[Airflow, Settings],
    landing: tuple[Path, str],
    one_more: Settings,
    tmp_path: Path,
) -> None:
    airflow = gated(prepared[0], tmp_path, landing[0])
    line = [HEADRACE, "run", "daily", "--date", FILLED[0].isoformat()]
    with subprocess.Popen(
        line, env=airflow.environ, cwd=airflow.folder, stderr=subprocess.PIPE, text=True
    ) as by_hand:
        airflow.test(FILLED[:1])
        _, error = by_hand.communicate(timeout=120)
    # One of the two may have been in the other's way; Airflow tries again.
    assert by_hand.returncode in {0, 75}, error
    require_the_same(settings_in(airflow.home), one_more, FILLED[0], [card_activity])
