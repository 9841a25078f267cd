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
from datetime import date, timedelta
from pathlib import Path

import pytest

from headrace_batch.simulator import simulate
from headrace_schemas.settings import Settings
from lakes import FEW, settings_in
from landings import in_one_go, land, require_the_same

HEADRACE = str(Path(sys.executable).with_name("headrace"))
FIRST = date(2018, 4, 9)
DAYS = [FIRST + timedelta(days) for days in range(3)]


@pytest.fixture(scope="module")
def landing(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """Files of days, labels a week after their transactions; and where `[ingest]` finds them."""
    folder = tmp_path_factory.mktemp("landing")
    simulated = simulate(FEW)
    events = {"transactions": simulated.transactions, "transaction_labels": simulated.labels}
    return folder, land(folder, events)


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
        told = json.loads(out)
        assert told["date"] == day.isoformat()
        assert [one["status"] for one in told["tasks"]] == [0] * 8
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
    assert [line.split()[:2] for line in error.splitlines()] == [
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
    assert refused.startswith("headrace: another headrace run daily is at work in")
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
    (line,) = error.splitlines()
    assert line.startswith(
        "headrace: ingest_transaction_labels: the events of transaction_labels of 2018-04-11 have"
        f" not come: there is no data file in {late}"
    )
    shutil.copytree(folder / DAYS[-1].isoformat(), late / DAYS[-1].isoformat())
    assert headrace(home, where, "run", "daily", "--date", DAYS[-1])[0] == 0


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
    ],
    ids=str,
)
def test_what_can_t_be_run_is_one_line(
    arguments: tuple[str, ...], line: str, tmp_path: Path, landing: tuple[Path, str]
) -> None:
    status, _, error = headrace(tmp_path, landing[1], *arguments)
    assert (status, error.count("\n")) == (78, 1)
    assert error.startswith(f"headrace: {line}")
