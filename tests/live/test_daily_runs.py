"""`headrace run daily` from outside: day by day as in one go, whatever is killed or comes late."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from functools import partial
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from headrace_batch.history_increment import bring_up_to
from headrace_batch.local_engine import LocalEngine
from headrace_batch.simulator import simulate
from headrace_batch.warehouse import Warehouse
from headrace_features.project import load_project
from headrace_orchestration.runs.due import days_due
from headrace_schemas.settings import Settings
from lakes import FEW, settings_in, write_simulated
from landings import MADE, in_one_go, land, require_the_same

HEADRACE = str(Path(sys.executable).with_name("headrace"))
FIRST = date(2018, 4, 9)
DAYS = [FIRST + timedelta(days) for days in range(3)]
BUILT_IN = "project fraud (built in): there is no headrace.toml here or above"


@pytest.fixture(scope="module")
def landing(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """Files of DAYS, labels a week after their transactions; and where `[ingest]` finds them."""
    folder = tmp_path_factory.mktemp("landing")
    simulated = simulate(FEW)
    events = {"transactions": simulated.transactions, "transaction_labels": simulated.labels}
    where = land(folder, events)
    for day in folder.iterdir():
        if date.fromisoformat(day.name) > DAYS[-1]:
            shutil.rmtree(day)
    return folder, where


def command(home: Path, where: str, *arguments: object) -> tuple[list[str], dict[str, str]]:
    environ = {**os.environ, "HEADRACE_HOME": str(home), "HEADRACE_INGEST": where}
    return [HEADRACE, *map(str, arguments)], environ


def headrace(home: Path, where: str, *arguments: object) -> tuple[int, str, str]:
    """How a command ended: its status, output and errors."""
    line, environ = command(home, where, *arguments)
    done = subprocess.run(
        line, env=environ, cwd=home, capture_output=True, text=True, check=False, timeout=120
    )
    return done.returncode, done.stdout, done.stderr


@contextmanager
def begun(home: Path, where: str, *arguments: object) -> Iterator[subprocess.Popen[str]]:
    """A command that goes on, in a group of its own, which is gone afterwards."""
    line, environ = command(home, where, *arguments)
    with subprocess.Popen(
        line, env=environ, cwd=home, stderr=subprocess.PIPE, text=True, start_new_session=True
    ) as child:
        try:
            yield child
        finally:
            if child.poll() is None:
                os.killpg(child.pid, signal.SIGKILL)


@pytest.fixture(scope="module")
def direct(landing: tuple[Path, str], tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """A home in which everything up to the last day was made in one go."""
    return in_one_go(tmp_path_factory.mktemp("direct"), landing[0], DAYS)


@pytest.fixture(scope="module")
def before_last(landing: tuple[Path, str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home in which all days but the last one were run."""
    home = tmp_path_factory.mktemp("daily")
    for day in DAYS[:-1]:
        status, out, error = headrace(home, landing[1], "run", "daily", "--date", day, "--json")
        assert status == 0, error
        (told,) = json.loads(out)["days"]
        assert told["date"] == day.isoformat()
        assert error == ""
        assert [one["status"] for one in told["tasks"]] == [0] * 8
        assert {len(one["set_aside"]) for one in told["tasks"]} == {0}
    return home


@pytest.fixture
def home(before_last: Path, tmp_path: Path) -> Path:
    """A copy of it."""
    copy = tmp_path / "home"
    shutil.copytree(before_last, copy)
    return copy


def test_days_one_by_one_are_one_direct_run(
    home: Path, landing: tuple[Path, str], direct: Settings
) -> None:
    status, out, error = headrace(home, landing[1], "run", "daily", "--date", DAYS[-1])
    assert (status, out) == (0, ""), error
    note, *done = error.splitlines()
    assert note == BUILT_IN
    assert [line.split()[:2] for line in done] == [
        ["✓", task]
        for task in (
            "ingest_transaction_labels",
            "ingest_transactions",
            "backfill_card_activity",
            "materialize_card_activity",
            "probe_card_activity",
            "backfill_terminal_risk",
            "materialize_terminal_risk",
            "probe_terminal_risk",
        )
    ]
    require_the_same(settings_in(home), direct, DAYS[-1])


def test_without_a_date_days_are_done_that_had_not_come_in_time(
    home: Path, landing: tuple[Path, str], direct: Settings
) -> None:
    status, _, error = headrace(home, landing[1], "run", "daily")
    assert status == 75
    next_day = DAYS[-1] + timedelta(1)
    begun_days = [line for line in error.splitlines() if line.startswith("headrace run daily")]
    assert begun_days == [f"headrace run daily --date {day}" for day in (DAYS[-1], next_day)]
    assert f"of {next_day} have not come" in error
    require_the_same(settings_in(home), direct, DAYS[-1])


def test_a_run_that_is_killed_is_completed_by_the_next(
    home: Path, landing: tuple[Path, str], direct: Settings
) -> None:
    log = home / "logs" / f"daily_features-{DAYS[-1]}.log"
    for task in ("$ headrace ingest", "$ headrace backfill", "$ headrace materialize"):
        with begun(home, landing[1], "run", "daily", "--date", DAYS[-1]) as child:
            log.unlink(missing_ok=True)
            while task not in (log.read_text() if log.exists() else ""):
                assert child.poll() is None
                time.sleep(0.02)
            os.killpg(child.pid, signal.SIGKILL)
    status, _, error = headrace(home, landing[1], "run", "daily", "--date", DAYS[-1])
    assert status == 0, error
    require_the_same(settings_in(home), direct, DAYS[-1])


def test_the_same_day_twice_at_once_is_one_run(
    home: Path, landing: tuple[Path, str], direct: Settings
) -> None:
    day = ("run", "daily", "--date", DAYS[-1])
    with begun(home, landing[1], *day) as one, begun(home, landing[1], *day) as other:
        ended = [(child.communicate()[1], child.returncode) for child in (one, other)]
    assert sorted(status for _, status in ended) == [0, 75]
    ((refused, _),) = [one for one in ended if one[1]]
    assert f"\nheadrace: another headrace run daily is at work in {home}" in refused
    require_the_same(settings_in(home), direct, DAYS[-1])


def test_a_day_whose_events_have_not_come_may_be_run_later(
    home: Path, landing: tuple[Path, str], tmp_path: Path
) -> None:
    folder, _ = landing
    late = tmp_path / "landing"
    where = json.dumps(
        {
            "transactions": f"{late}/{{date}}/transactions.parquet",
            "transaction_labels": f"{late}/{{date}}/transaction_labels.parquet",
        }
    )
    status, _, error = headrace(home, where, "run", "daily", "--date", DAYS[-1])
    assert status == 75
    note, line = error.splitlines()
    assert note == BUILT_IN
    assert line.startswith(
        "headrace: ingest_transaction_labels: the events of transaction_labels of 2018-04-11 have"
        f" not come: there is no data file in {late}"
    )
    shutil.copytree(folder / DAYS[-1].isoformat(), late / DAYS[-1].isoformat())
    assert headrace(home, where, "run", "daily", "--date", DAYS[-1])[0] == 0


def test_rows_and_columns_that_a_day_does_not_take_in_are_told_with_its_ingest(
    home: Path, landing: tuple[Path, str], tmp_path: Path
) -> None:
    late = tmp_path / "landing"
    day = late / DAYS[-1].isoformat()
    shutil.copytree(landing[0] / DAYS[-1].isoformat(), day)
    rows = pq.read_table(day / "transactions.parquet").to_pylist()
    rows[0]["card_id"] = rows[1]["card_id"] = None
    rows[2]["amount_minor"] = None
    rows = [row | {"merchant_city": "Ulm"} for row in rows]
    pq.write_table(pa.Table.from_pylist(rows), day / "transactions.parquet")
    where = landing[1].replace(str(landing[0]), str(late))
    told = "3 rows rejected into quarantine (by first reason: null_key 2, "
    # Again it says the same, though nothing is new then.
    for _ in range(2):
        status, _, error = headrace(home, where, "run", "daily", "--date", DAYS[-1])
        assert status == 0, error
        step, end = (line for line in error.splitlines() if told in line)
        assert step.startswith("✓ ingest_transactions (")
        assert step.endswith("; ignored columns: merchant_city")
        assert end.startswith(f"transactions: {told}")
        assert end.endswith("; see headrace quarantine list transactions")
        assert end == error.splitlines()[-1]


def test_without_a_date_or_a_layer_it_is_the_newest_day_that_is_over(tmp_path: Path) -> None:
    where = json.dumps(
        dict.fromkeys(("transactions", "transaction_labels"), f"{tmp_path}/{{date}}")
    )
    before = datetime.now(UTC).date() - timedelta(1)
    status, _, error = headrace(tmp_path, where, "run", "daily")
    assert status == 75
    note, day, line = error.splitlines()
    assert note == BUILT_IN
    assert day in {
        f"headrace run daily --date {one}"
        for one in (before, datetime.now(UTC).date() - timedelta(1))
    }
    assert f"of {day.split()[4]} have not come" in line


def test_where_the_stream_alone_keeps_values_the_days_that_no_history_has_are_due(
    tmp_path: Path,
) -> None:
    modes = json.dumps(dict.fromkeys((view.name for view in MADE), "kappa"))
    settings = settings_in(tmp_path, HEADRACE_PROJECT_MODES=modes)
    project, newest = load_project(settings), FIRST + timedelta(2)
    write_simulated(settings)
    assert days_due(settings, project, newest) == [newest]
    for view, last in zip(MADE, (FIRST, newest), strict=True):
        bring_up_to(
            Warehouse.of(settings), view, last, partial(LocalEngine(settings).backfill, view)
        )
    assert days_due(settings, project, newest) == DAYS[1:]


def test_a_run_that_is_interrupted_says_so_once(home: Path, landing: tuple[Path, str]) -> None:
    log = home / "logs" / f"daily_features-{DAYS[-1]}.log"
    with begun(home, landing[1], "run", "daily", "--date", DAYS[-1]) as child:
        while not log.exists():
            assert child.poll() is None
            time.sleep(0.02)
        os.killpg(child.pid, signal.SIGINT)
        _, error = child.communicate()
    assert child.returncode == 130
    lines = [line for line in error.splitlines() if not line.startswith("✓")]
    assert lines == [
        BUILT_IN,
        "headrace: interrupted; what was published stays whole, run it again to go on",
    ]


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (("run", "daily", "--date", "yesterday"), "--date: 'yesterday' is no day"),
        (("run", "daily", "--date", "2099-01-01"), "--date: 2099-01-01 has not begun"),
        (("ingest", "--date", "2099-01-01"), "--date: 2099-01-01 has not begun"),
        (
            ("ingest", "--date", "2018-04-09", "--source", "cards"),
            "unknown source 'cards'",
        ),
        (
            ("ingest", "--date", "2018-04-09", "--file", "a.csv"),
            "--file can't go with --date",
        ),
        (
            ("backfill", "--date", "2018-04-09", "--start", "2018-04-09"),
            "--start and --end can't go with --date",
        ),
        (
            ("online", "probe", "--date", "2018-04-09"),
            "card_activity is not materialized",
        ),
        (
            ("online", "probe", "--date", "2999-01-01"),
            "--date: 2999-01-01 has not begun",
        ),
    ],
    ids=str,
)
def test_what_can_t_be_run_is_one_line(
    arguments: tuple[str, ...], line: str, tmp_path: Path, landing: tuple[Path, str]
) -> None:
    status, _, error = headrace(tmp_path, landing[1], *arguments)
    assert (status, error.count("\n")) == (78, 1)
    assert error.startswith(f"headrace: {line}")
