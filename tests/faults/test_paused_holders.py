"""Who is paused just before it publishes, and goes on after others have, changes nothing any more.

A process is stopped where it would commit, another one does the same or a later day, and the first
goes on. Leases end by the clock, which is put forward.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, date, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from headrace_batch import leased
from headrace_batch.ingest.run import ingest
from headrace_batch.local_engine import LocalEngine
from headrace_batch.materialize import materialize_view
from headrace_batch.simulator import simulate
from headrace_batch.warehouse import Warehouse
from headrace_features.feast_plugin import repository
from headrace_features.fraud.definitions import card_activity
from headrace_features.leases import LeaseHeldError
from headrace_schemas.errors import RetryableError
from headrace_schemas.settings import Settings
from headrace_schemas.tables import features_table
from ingestion import fraud_project, stored, transactions, write_parquet
from lakes import FEW, settings_in, unwatched, write_events, write_simulated
from late_lakes import Fields, fields_of
from programs import started
from redis_servers import RedisServer, redis_server

FIRST, LAST = date(2018, 4, 10), date(2018, 4, 24)
FEATURES = features_table("card_activity", 1)
BEFORE, ASKED, NEWEST = (date(2018, 5, day) for day in (7, 8, 9))

# Does what its arguments say, and stops before the N-th call of a function: for the parent to let
# it go on, some time or other.
CHILD = """
import os, signal, sys
from datetime import UTC, date, datetime
from pathlib import Path
from headrace_batch import backfill_spark, backfill_table, layer_fields, local_spill, tile_table
from headrace_batch.ingest import appending, parquet_reader, run
from headrace_features.fraud.definitions import card_activity
from headrace_features.online.stores import open_store
from headrace_features.project import load_project
from headrace_schemas.errors import HeadraceError
from headrace_schemas.settings import load

what, home, where, name, calls = sys.argv[1:6]
local_spill.PART_ROWS = 200
layer_fields._FIELDS_PER_WRITE = 5
run.CHUNK_ROWS = parquet_reader._BATCH_ROWS = 20
settings = load(Path(home), {**os.environ, "HEADRACE_HOME": home})
if what == "apply":
    from headrace_features.feast_plugin import repository
owner = type(open_store(settings)) if where == "store" else globals()[where]
real, left = getattr(owner, name), [int(calls)]

def paused(*arguments, **options):
    left[0] -= 1
    if left[0] == 0:
        os.kill(os.getpid(), signal.SIGSTOP)
    return real(*arguments, **options)

setattr(owner, name, paused)
try:
    if what == "ingest":
        run.ingest(settings, load_project(settings), sys.argv[6], source="transactions")
    elif what == "apply":
        repository.apply(settings, load_project(settings))
    elif what == "materialize":
        from headrace_batch.materialize import materialize_view
        materialize_view(settings, card_activity, date(2018, 5, 8), lambda done: None)
    else:
        if what == "spark":
            from headrace_batch.spark_engine import SparkEngine as Engine
        else:
            from headrace_batch.local_engine import LocalEngine as Engine
        Engine(settings).backfill(card_activity, date(2018, 4, 10), date(2018, 4, 24))
except HeadraceError as error:
    print(f"{type(error).__name__}: {error}", file=sys.stderr)
    sys.exit(error.exit_code)
"""


@contextmanager
def paused(*arguments: object) -> Iterator[subprocess.Popen[str]]:
    """The child, once it has stopped."""
    with started(CHILD, *arguments, stderr=subprocess.PIPE) as child:
        if arguments[-1] == 0:
            stop_amid_files(child, Path(str(arguments[1])))
        ended = os.waitid(os.P_PID, child.pid, os.WSTOPPED | os.WEXITED | os.WNOWAIT)
        assert ended is not None
        assert ended.si_code == os.CLD_STOPPED, child.communicate()
        yield child


def stop_amid_files(child: subprocess.Popen[str], home: Path) -> None:
    """Stop a backfill and what it has started once it has written a file."""
    table = Path(Warehouse.of(settings_in(home)).uri(FEATURES))
    while not list(table.rglob("*.parquet")):
        assert child.poll() is None, child.communicate()
    os.killpg(child.pid, signal.SIGSTOP)


def revived(child: subprocess.Popen[str]) -> tuple[int, str]:
    """With which status the child and what it has started end, and what they say."""
    os.killpg(child.pid, signal.SIGCONT)
    _, said = child.communicate()
    return child.returncode, said


def put_the_clock_forward(monkeypatch: pytest.MonkeyPatch) -> None:
    real = leased._now_ms
    monkeypatch.setattr(leased, "_now_ms", lambda: real() + leased.LEASE_MS)


def test_an_ingest_that_was_overtaken_adds_nothing(tmp_path: Path) -> None:
    settings = settings_in(tmp_path)
    project = fraud_project(settings)
    file = write_parquet(tmp_path / "a.parquet", transactions(0, 60))
    with paused("ingest", tmp_path, "appending", "write_deltalake", 2, file) as child:
        ingest(settings, project, str(file), source="transactions")
        more = write_parquet(tmp_path / "b.parquet", transactions(60, 80))
        ingest(settings, project, str(more), source="transactions")
        assert revived(child) == (0, "")
    keys = [row[0] for row in stored(settings, "bronze.transactions")]
    assert keys == sorted(f"tx-{number}" for number in range(80))


def test_the_registry_waits_for_whom_it_is_written_by_and_keeps_the_latest_day(
    tmp_path: Path,
) -> None:
    settings = settings_in(tmp_path)
    project = fraud_project(settings)
    days = [datetime(2018, 5, day, tzinfo=UTC) for day in (1, 8, 9)]
    with paused("apply", tmp_path, "repository", "_apply", 1) as child:
        with pytest.raises(RetryableError, match="another apply is writing the registry"):
            repository.apply(settings, project)
        assert revived(child)[0] == 0
    repository.record_materialization(settings, "card_activity", days[0], days[2])
    # That of the day before, from one that stood still after it had published.
    repository.record_materialization(settings, "card_activity", days[0], days[1])
    view = repository.feature_store(settings).get_feature_view("card_activity")
    assert view.most_recent_end_time == days[2]


@pytest.fixture(scope="module")
def half(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, pa.Table]:
    """A lake with every second transaction, and the others."""
    home = tmp_path_factory.mktemp("half")
    rows = simulate(FEW).transactions
    even = pc.equal(pc.bit_wise_and(pa.array(range(len(rows))), 1), 0)
    write_events(settings_in(home), "bronze.transactions", rows.filter(even))
    return home, rows.filter(pc.invert(even))


def features(settings: Settings) -> pa.Table:
    return Warehouse.of(settings).read(FEATURES).sort_by("transaction_id")


@pytest.mark.parametrize(
    "where",
    [
        ("local", "backfill_table", "write_deltalake", 1),
        ("local", "backfill_table", "write_deltalake", 3),
        # Before its commit has begun, and when files of it are there.
        ("spark", "backfill_spark", "days_predicate", 1),
        ("spark", "backfill_spark", "days_predicate", 0),
    ],
    ids=str,
)
def test_a_backfill_that_was_overtaken_writes_nothing_over_newer_values(
    where: tuple[str, str, str, int],
    half: tuple[Path, pa.Table],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    home = tmp_path / "lake"
    shutil.copytree(half[0], home)
    settings, (kind, *place) = settings_in(home), where
    with paused(kind, home, *place) as child:
        write_events(settings, "bronze.transactions", half[1])
        with pytest.raises(
            LeaseHeldError,
            match=rf"{FEATURES} is being written by process {child.pid} on .* since ..:..:..,",
        ):
            LocalEngine(settings).backfill(card_activity, FIRST, LAST)
        put_the_clock_forward(monkeypatch)
        LocalEngine(settings).backfill(card_activity, FIRST, LAST)
        newer, version = features(settings), Warehouse.of(settings).open(FEATURES).version()
        status, said = revived(child)
    assert status == 75, said
    assert f"RetryableError: process {os.getpid()} on " in said
    assert f"has taken over {FEATURES}" in said
    assert Warehouse.of(settings).open(FEATURES).version() == version
    assert features(settings).equals(newer)
    LocalEngine(settings).backfill(card_activity, FIRST, LAST)
    assert features(settings).equals(newer)


@pytest.fixture(scope="module")
def redis() -> Iterator[RedisServer]:
    with redis_server() as server:
        yield server


@pytest.fixture(params=["sqlite", "redis"])
def environ(request: pytest.FixtureRequest, tmp_path: Path) -> dict[str, str]:
    """The variables for an online store that is empty."""
    if request.param == "sqlite":
        return {}
    server: RedisServer = request.getfixturevalue("redis")
    # What a project has there is apart from what others have.
    project = f"paused_{zlib.crc32(str(tmp_path).encode())}"
    return {
        **server.environ(),
        "HEADRACE_ONLINE_TIMEOUT": "5s",
        "HEADRACE_PROJECT_NAME": project,
    }


def published(settings: Settings) -> Fields:
    """The fields that readers see."""
    keys = Warehouse.of(settings).read(card_activity.source.table)["card_id"]
    return fields_of(settings, card_activity, pc.unique(keys).to_pylist())


@pytest.fixture(scope="module")
def clean(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Fields]:
    """A lake, and what is published of it where nobody was paused."""
    home = tmp_path_factory.mktemp("clean")
    lake = home / "lake"
    write_simulated(settings_in(lake))
    shutil.copytree(lake, home / "published")
    settings = settings_in(home / "published")
    materialize_view(settings, card_activity, BEFORE, unwatched)
    materialize_view(settings, card_activity, NEWEST, unwatched)
    return lake, published(settings)


@pytest.fixture
def layered(
    environ: Mapping[str, str],
    clean: tuple[Path, Fields],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Settings:
    """The same lake beside a store that is behind it, for this process and those that it starts."""
    home = tmp_path / "lake"
    shutil.copytree(clean[0], home)
    settings = settings_in(home, **environ)
    materialize_view(settings, card_activity, BEFORE, unwatched)
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    return settings


@pytest.mark.parametrize(
    "place",
    [("tile_table", "write_deltalake", 1), ("store", "write", 2), ("store", "publish", 1)],
    ids=str,
)
@pytest.mark.parametrize("day", [ASKED, NEWEST])
def test_a_layer_that_was_overtaken_is_not_published_over_one_of_the_same_or_a_later_day(
    place: tuple[str, str, int],
    day: date,
    layered: Settings,
    clean: tuple[Path, Fields],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with paused("materialize", layered.home, *place) as child:
        with pytest.raises(LeaseHeldError, match=f"being materialized by process {child.pid} on"):
            materialize_view(layered, card_activity, day, unwatched)
        put_the_clock_forward(monkeypatch)
        materialize_view(layered, card_activity, day, unwatched)
        newer = published(layered)
        status, said = revived(child)
    assert (status, "RetryableError" in said, "taken over" in said) == (75, True, True), said
    assert published(layered) == newer
    materialize_view(layered, card_activity, NEWEST, unwatched)
    assert published(layered) == clean[1]
