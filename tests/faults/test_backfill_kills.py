"""A backfill that is killed or meets another one leaves whole days, and a rerun the clean table."""

from __future__ import annotations

import os
import shutil
import signal
from datetime import date
from pathlib import Path
from subprocess import PIPE
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from headrace_batch.local_engine import LocalEngine
from headrace_batch.simulator import simulate
from headrace_batch.spark_engine import SparkEngine
from headrace_batch.warehouse import Warehouse
from headrace_features.fraud.definitions import card_activity
from headrace_schemas.settings import Settings
from lakes import FEW, settings_in, write_events
from programs import started

FIRST, LAST = date(2018, 4, 10), date(2018, 4, 24)
TABLE = "features.card_activity_v1"

# Backfills with one engine, in small parts, and does what its last arguments say: "die NAME N"
# before the N-th call of a function, "tear N" when files of the N-th commit are written and the
# commit is not, "meet FOLDER" another process before it takes the lease.
CHILD = """
import os, signal, sys, time
from datetime import date
from pathlib import Path
import pyarrow as pa
from headrace_batch import backfill_local, backfill_spark, backfill_table, local_spill
from headrace_features.fraud.definitions import card_activity
from headrace_schemas.errors import HeadraceError
from headrace_schemas.settings import load

kind, home, *what = sys.argv[1:]
local_spill.PART_ROWS = 400
settings = load(Path(home), {**os.environ, "HEADRACE_HOME": home})

def die_in(owner, name, calls):
    real = getattr(owner, name)
    left = [calls]
    def wrapped(*arguments, **options):
        left[0] -= 1
        if left[0] == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return real(*arguments, **options)
    setattr(owner, name, wrapped)

def tear(calls):
    real = backfill_table.write_deltalake
    left = [calls]
    def wrapped(table, rows, **options):
        left[0] -= 1
        def files():
            return len(list(Path(table.table_uri.removeprefix("file://")).rglob("*.parquet")))
        before = files()
        def batches():
            yield from rows.to_batches()
            if left[0] == 0:
                # Again and again, until so much has come that it is written out.
                while files() == before:
                    yield from rows.to_batches()
                os.kill(os.getpid(), signal.SIGKILL)
        reader = pa.RecordBatchReader.from_batches(rows.schema, batches())
        return real(table, reader, target_file_size=1, **options)
    backfill_table.write_deltalake = wrapped

def meet(folder):
    real = backfill_table.held
    def wrapped(*arguments):
        (folder / str(os.getpid())).touch()
        late = time.monotonic() + 120
        while len(list(folder.iterdir())) < 2 and time.monotonic() < late:
            pass
        return real(*arguments)
    backfill_table.held = wrapped

if what and what[0] == "die":
    name, calls = what[1], int(what[2])
    owners = (backfill_table.FeatureTable, backfill_table, backfill_local, backfill_spark)
    die_in(next(owner for owner in owners if hasattr(owner, name)), name, calls)
if what and what[0] == "tear":
    tear(int(what[1]))
if what and what[0] == "meet":
    meet(Path(what[1]))
if kind == "spark":
    from headrace_batch.spark_engine import SparkEngine as Engine
else:
    from headrace_batch.local_engine import LocalEngine as Engine
try:
    Engine(settings).backfill(card_activity, date(2018, 4, 10), date(2018, 4, 24))
except HeadraceError as error:
    sys.exit(f"{type(error).__name__}: {error}")
"""


def rows_of(settings: Settings) -> pa.Table:
    return Warehouse.of(settings).read(TABLE).sort_by("transaction_id")


@pytest.fixture(scope="module")
def homes(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, pa.Table, pa.Table]:
    """A lake whose features are behind its events; its features as they are, and as they should be.

    Since the last backfill as many events have come again, so that every day has other values.
    """
    home = tmp_path_factory.mktemp("behind")
    settings = settings_in(home)
    transactions = simulate(FEW).transactions
    even = pc.equal(pc.bit_wise_and(pa.array(range(len(transactions))), 1), 0)
    write_events(settings, "bronze.transactions", transactions.filter(even))
    LocalEngine(settings).backfill(card_activity, FIRST, LAST)
    write_events(settings, "bronze.transactions", transactions.filter(pc.invert(even)))
    clean = tmp_path_factory.mktemp("clean") / "lake"
    shutil.copytree(home, clean)
    LocalEngine(settings_in(clean)).backfill(card_activity, FIRST, LAST)
    return home, rows_of(settings), rows_of(settings_in(clean))


@pytest.fixture
def lake(homes: tuple[Path, pa.Table, pa.Table], tmp_path: Path) -> Settings:
    home = tmp_path / "lake"
    shutil.copytree(homes[0], home)
    return settings_in(home)


def assert_whole_days(found: pa.Table, old: pa.Table, new: pa.Table) -> None:
    """Each day is as it was or as it should be, never between."""
    days = sorted(set(new["event_date"].to_pylist()))
    assert set(found["event_date"].to_pylist()) <= set(days)
    for day in days:
        on_day = pc.field("event_date") == pa.scalar(day, pa.date32())
        part = found.filter(on_day)
        assert part.equals(old.filter(on_day)) or part.equals(new.filter(on_day)), day


@pytest.mark.parametrize(
    "what",
    [
        ("die", "entity_parts", "2"),
        ("die", "features_at_events", "1"),
        ("die", "features_at_events", "3"),
        ("die", "replace", "1"),
        ("tear", "1"),
        ("die", "replace", "2"),
        ("tear", "3"),
        ("die", "replace", "4"),
    ],
    ids=" ".join,
)
def test_a_local_backfill_killed_at_a_step_is_completed_by_the_next(
    what: tuple[str, ...], lake: Settings, homes: tuple[Path, pa.Table, pa.Table]
) -> None:
    _, old, new = homes
    with started(CHILD, "local", lake.home, *what, stderr=PIPE) as child:
        assert child.wait() == -signal.SIGKILL, child.communicate()

    assert_whole_days(rows_of(lake), old, new)
    assert [path for path in (lake.home / "scratch").rglob("*") if path.is_file()] == []
    LocalEngine(lake).backfill(card_activity, FIRST, LAST)
    assert rows_of(lake).equals(new)


@pytest.mark.usefixtures("spark")
@pytest.mark.parametrize("files", [1, 9])
def test_a_spark_backfill_killed_while_it_writes_files_is_completed_by_the_next(
    files: int, lake: Settings, homes: tuple[Path, pa.Table, pa.Table]
) -> None:
    _, old, new = homes
    before = len(data_files(lake))
    with started(CHILD, "spark", lake.home, stderr=PIPE) as child:
        while len(data_files(lake)) < before + files:
            assert child.poll() is None, child.communicate()
        # The JVM as well.
        os.killpg(child.pid, signal.SIGKILL)
        assert child.wait() == -signal.SIGKILL

    assert_whole_days(rows_of(lake), old, new)
    SparkEngine(lake).backfill(card_activity, FIRST, LAST)
    assert rows_of(lake).equals(new)


def commit_mode(commit: dict[str, Any]) -> str | None:
    """Whether a commit has replaced rows, or added to them."""
    mode: str | None = commit.get("operationParameters", {}).get("mode")
    return mode


@pytest.fixture
def unfilled(homes: tuple[Path, pa.Table, pa.Table], tmp_path: Path) -> Settings:
    """The same events, of which no feature was ever computed."""
    home = tmp_path / "unfilled"
    shutil.copytree(homes[0], home)
    shutil.rmtree(Warehouse.of(settings_in(home)).uri(TABLE))
    return settings_in(home)


@pytest.mark.parametrize(
    ("what", "committed"),
    [
        (("die", "_created", "1"), None),
        (("die", "entity_parts", "1"), 0),
        (("die", "features_at_events", "2"), 0),
        (("die", "replace", "1"), 0),
        (("tear", "1"), 0),
        (("die", "replace", "2"), 1),
        (("tear", "3"), 2),
    ],
    ids=str,
)
def test_a_first_local_backfill_killed_before_or_after_its_table_is_made_is_completed_by_the_next(
    what: tuple[str, ...],
    committed: int | None,
    unfilled: Settings,
    homes: tuple[Path, pa.Table, pa.Table],
) -> None:
    new = homes[2]
    with started(CHILD, "local", unfilled.home, *what, stderr=PIPE) as child:
        assert child.wait() == -signal.SIGKILL, child.communicate()

    made = Warehouse.of(unfilled).find(TABLE)
    # Others take the lease, or renew it.
    replaced = None if made is None else [commit_mode(one) for one in made.history()]
    assert (None if replaced is None else replaced.count("Overwrite")) == committed
    if made is not None:
        assert_whole_days(rows_of(unfilled), new.slice(0, 0), new)
    LocalEngine(unfilled).backfill(card_activity, FIRST, LAST)
    assert rows_of(unfilled).equals(new)


@pytest.mark.usefixtures("spark")
@pytest.mark.parametrize("files", [None, 1], ids=["before its session", "amid its files"])
def test_a_first_spark_backfill_killed_before_its_only_commit_is_completed_by_the_next(
    files: int | None, unfilled: Settings, homes: tuple[Path, pa.Table, pa.Table]
) -> None:
    what = ("die", "spark_session", "1") if files is None else ()
    with started(CHILD, "spark", unfilled.home, *what, stderr=PIPE) as child:
        while files is not None and len(data_files(unfilled)) < files:
            assert child.poll() is None, child.communicate()
        if files is not None:
            # The JVM as well.
            os.killpg(child.pid, signal.SIGKILL)
        assert child.wait() == -signal.SIGKILL, child.communicate()

    assert Warehouse.of(unfilled).open(TABLE).file_uris() == []
    assert (files is None) == (data_files(unfilled) == [])
    SparkEngine(unfilled).backfill(card_activity, FIRST, LAST)
    assert rows_of(unfilled).equals(homes[2])


def data_files(settings: Settings) -> list[Path]:
    return list(Path(Warehouse.of(settings).uri(TABLE)).rglob("*.parquet"))


@pytest.mark.parametrize(
    "kinds", [("local", "local"), ("spark", "spark"), ("local", "spark")], ids="+".join
)
def test_two_backfills_at_once_leave_one_clean_table_and_a_clear_message(
    kinds: tuple[str, str],
    lake: Settings,
    homes: tuple[Path, pa.Table, pa.Table],
    tmp_path: Path,
) -> None:
    folder = tmp_path / "meeting"
    folder.mkdir()
    with (
        started(CHILD, kinds[0], lake.home, "meet", str(folder), stderr=PIPE) as one,
        started(CHILD, kinds[1], lake.home, "meet", str(folder), stderr=PIPE) as other,
    ):
        ended = [(child.communicate()[1], child.returncode) for child in (one, other)]

    assert 0 in [status for _, status in ended], ended
    for message, status in ended:
        if status:
            assert f"LeaseHeldError: {TABLE} is being written by process " in message
            assert "run this one again" in message
    assert rows_of(lake).equals(homes[2])
