"""The command from outside: every step on a small lake, and one clear line for every mistake."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from headrace_batch.simulator import simulate
from headrace_features.feast_plugin.repository import feature_store
from headrace_orchestration import cli
from headrace_schemas.settings import load
from lakes import FEW

HEADRACE = str(Path(sys.executable).with_name("headrace"))


@dataclass(frozen=True)
class Ran:
    """How a command ended."""

    status: int
    out: str
    error: str


Run = Callable[..., Ran]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Run:
    """Run the command in this process, in the current directory."""

    def run_command(*arguments: object) -> Ran:
        monkeypatch.setattr(sys, "argv", ["headrace", *map(str, arguments)])
        capfd.readouterr()
        with pytest.raises(SystemExit) as ended:
            cli.run()
        captured = capfd.readouterr()
        return Ran(int(ended.value.code or 0), captured.out, captured.err)

    return run_command


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Files of simulated transactions and labels."""
    folder = tmp_path_factory.mktemp("files")
    simulated = simulate(FEW)
    pq.write_table(simulated.transactions, folder / "transactions.parquet")
    pq.write_table(simulated.labels, folder / "labels.parquet")
    return folder


@pytest.fixture(scope="module")
def filled(files: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home folder in which every step was run, by the installed command."""
    home = tmp_path_factory.mktemp("filled")
    for line in (
        f"ingest --file {files}/transactions.parquet --source transactions",
        f"ingest --file {files}/labels.parquet --source transaction_labels",
        "plan",
        "apply",
        "backfill",
        "materialize",
    ):
        done = subprocess.run(
            [HEADRACE, *line.split()],
            env={"HEADRACE_HOME": str(home), "PATH": "/usr/bin:/bin"},
            cwd=home,
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
        assert done.returncode == 0, (line, done.stderr)
    return home


@pytest.fixture
def home(filled: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the filled home that a test may spoil, as the current directory."""
    copy = tmp_path / "home"
    shutil.copytree(filled, copy)
    monkeypatch.setenv("HEADRACE_HOME", str(copy))
    monkeypatch.chdir(copy)
    return copy


def spine(path: Path, **columns: object) -> Path:
    """A spine file with one row for a known card and terminal, changed by columns."""
    whole: dict[str, object] = {
        "transaction_id": ["tx-1"],
        "card_id": ["card-000001"],
        "terminal_id": ["terminal-000001"],
        "event_time": [1_525_000_000_000],
        **columns,
    }
    pq.write_table(pa.table({k: v for k, v in whole.items() if v is not None}), path)
    return path


def test_help_names_every_command_and_loads_no_engine() -> None:
    code = (
        "import sys\n"
        "sys.argv = ['headrace', '--help']\n"
        "from headrace_orchestration import cli\n"
        "try:\n    cli.run()\nexcept SystemExit:\n    pass\n"
        "heavy = {'feast', 'pyspark', 'pandas', 'pyarrow', 'numpy', 'deltalake', 'sqlglot'}\n"
        "sys.exit(','.join(sorted(heavy & set(sys.modules))) or 0)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stderr
    for command in (
        "demo",
        "doctor",
        "init",
        "simulate",
        "ingest",
        "plan",
        "apply",
        "backfill",
        "materialize",
        "features",
        "bench",
    ):
        assert f" {command} " in done.stdout


@pytest.mark.usefixtures("home")
def test_ingesting_again_adds_nothing(files: Path, run: Run) -> None:
    again = run(
        "ingest", "--file", files / "transactions.parquet", "--source", "transactions", "--json"
    )
    (source,) = json.loads(again.out)["sources"]
    assert again.status == 0
    assert source["ingested"] == 0
    assert source["already_ingested"] == source["rows"] > 0


@pytest.mark.usefixtures("home")
def test_features_get_answers_as_of_a_time_and_now(run: Run) -> None:
    entity = ["--entity", "card_id=card-000001", "--entity", "terminal_id=terminal-000001"]
    then = run("features", "get", "--service", "fraud", *entity, "--as-of", "2018-05-15", "--json")
    now = run("features", "get", "--service", "fraud", *entity, "--json")
    assert then.status == now.status == 0, then.error + now.error
    assert json.loads(then.out)["features"]["card_activity__count_30d"] > 0
    assert json.loads(now.out)["features"]["card_activity__count_30d"] == 0


@pytest.mark.usefixtures("home")
def test_features_get_computes_on_demand_of_what_the_request_brings(run: Run) -> None:
    asked = ["features", "get", "--as-of", "2018-05-15", "--entity", "card_id=card-000001"]
    asked += [f"--request={given}" for given in ("latitude=48", "longitude=null")]
    on_demand = ["--feature", "transaction_context", "--request", "amount_minor=1234"]
    done = run(*asked, *on_demand, "--json")
    assert done.status == 0, done.error
    answer = json.loads(done.out)
    mean = run(*asked[:6], "--feature", "card_activity:amount_minor_mean_30d", "--json")
    (amount_minor_mean,) = json.loads(mean.out)["features"].values()
    assert answer["request"] == {"amount_minor": 1234, "latitude": 48.0, "longitude": None}
    assert answer["features"] == {
        "transaction_context__amount_to_mean": 1234 / amount_minor_mean,
        "transaction_context__km_since_last": None,
    }
    assert answer["statuses"]["transaction_context__km_since_last"] == "NULL_VALUE"
    assert "transaction_context__amount_to_mean" in run(*asked, *on_demand).out
    asked[5] = "card_id=nobody"
    assert "which nothing is held of" in run(*asked, *on_demand).out


@pytest.mark.usefixtures("home")
def test_an_entity_without_events_is_told_apart_from_one_with_none_lately(run: Run) -> None:
    asked = ["features", "get", "--feature", "card_activity:count_1m", "--entity"]
    then = ["--as-of", "2018-05-15", "--json"]
    known = json.loads(run(*asked, "card_id=card-000001", *then).out)
    unknown = json.loads(run(*asked, "card_id=nobody", *then).out)
    assert known["features"] == unknown["features"] == {"card_activity__count_1m": 0}
    assert known["statuses"] == {"card_activity__count_1m": "PRESENT"}
    assert unknown["statuses"] == {"card_activity__count_1m": "NOT_FOUND"}
    assert "no event of card_id=nobody" in run(*asked, "card_id=nobody", *then[:2]).out
    # What is not known yet may have been this one's.
    assert "may lack events" in run(*asked, "card_id=nobody").out


@pytest.mark.usefixtures("home")
def test_a_value_that_may_lack_events_is_told_as_such(run: Run) -> None:
    asked = ["features", "get", "--feature", "card_activity:count_30d", "--entity"]
    # No stream writes what came after the batch boundary.
    now = json.loads(run(*asked, "card_id=card-000001", "--json").out)
    assert now["statuses"] == {"card_activity__count_30d": "OUTSIDE_MAX_AGE"}
    told = run(*asked, "card_id=card-000001").out
    assert "card_activity__count_30d may lack events that are in no layer" in told


def test_feast_knows_what_was_materialized(home: Path) -> None:
    store = feature_store(load(home, {"HEADRACE_HOME": str(home)}))
    for view in store.list_feature_views():
        # Once by apply, and once by materialize.
        assert len(view.materialization_intervals) == 2
        for start, end in view.materialization_intervals:
            assert start.date() == FEW.start
            assert end.date() > start.date()


def test_history_keeps_rows_order_duplicates_and_columns(home: Path, run: Run) -> None:
    rows = {
        "transaction_id": ["a", "b", "a"],
        "card_id": ["card-000002", "card-000001", "card-000002"],
        "terminal_id": ["terminal-000001"] * 3,
        "event_time": [1_525_000_000_000, 1_525_100_000_000, 1_525_000_000_000],
        "note": [1, None, 3],
    }
    path = spine(home / "spine.parquet", **rows)
    done = run("features", "history", "--service", "fraud", "--spine", path, "--out", "out.parquet")
    assert done.status == 0, done.error
    out = pq.read_table(home / "out.parquet")
    assert out.select(list(rows)).to_pydict() == rows
    counts = out["card_activity__count_30d"].to_pylist()
    assert counts[0] == counts[2]


def test_an_empty_spine_gives_an_empty_result_with_every_column(home: Path, run: Run) -> None:
    empty = pq.read_table(spine(home / "spine.parquet")).slice(0, 0)
    pq.write_table(empty, home / "empty.parquet")
    done = run(
        "features",
        "history",
        "--service",
        "fraud",
        "--spine",
        "empty.parquet",
        "--out",
        "out.parquet",
    )
    assert done.status == 0
    assert "no rows" in done.out
    assert "terminal_risk__count_30d_delayed_7d" in pq.read_table(home / "out.parquet").column_names


def test_an_empty_spine_of_pandas_has_columns_of_no_type(home: Path, run: Run) -> None:
    columns = ["transaction_id", "card_id", "terminal_id", "event_time"]
    pd.DataFrame(columns=columns).to_parquet(home / "empty.parquet")
    line = "features history --service fraud --spine empty.parquet --out out.parquet"
    done = run(*line.split())
    assert done.status == 0, done.error
    assert pq.read_table(home / "out.parquet").num_rows == 0


def test_rejected_rows_are_counted_again_when_their_file_is(home: Path, run: Run) -> None:
    good = pq.read_table(home / "warehouse/bronze/transactions").slice(0, 2)
    good = good.drop_columns(["event_date"])
    seconds = pa.array([1_525_000_000, 1_525_000_001], pa.int64())
    bad = good.set_column(good.schema.get_field_index("event_time"), "event_time", seconds)
    pq.write_table(pa.concat_tables([good, bad]), home / "some.parquet")
    line = "ingest --file some.parquet --source transactions"
    first = run(*line.split())
    assert "2 rejected as event_time_wrong_unit" in first.out
    again = run(*line.split())
    assert "2 already rejected as event_time_wrong_unit" in again.out
    (source,) = json.loads(run(*line.split(), "--json").out)["sources"]
    assert source["already_rejected"] == {"event_time_wrong_unit": 2}


@pytest.mark.usefixtures("home")
def test_days_without_events_are_no_failure_but_told(run: Run) -> None:
    done = run(
        "backfill", "--view", "card_activity", "--start", "2030-05-01", "--end", "2030-05-02"
    )
    assert done.status == 0
    assert "no events of card_activity from 2030-05-01 to 2030-05-02" in done.out


@pytest.mark.usefixtures("home")
def test_an_older_day_leaves_a_layer_where_it_is(run: Run) -> None:
    done = run("materialize", "--view", "card_activity", "--date", "2018-04-10", "--json")
    assert done.status == 0, done.error
    (report,) = json.loads(done.out)
    assert report["boundary"].startswith("2018-05-16")
    assert (report["anew"], report["events"], report["fields"]) == (False, 0, 0)
    asked = ["features", "get", "--feature", "card_activity", "--entity", "card_id=card-000001"]
    then = json.loads(run(*asked, "--as-of", "2018-05-15", "--json").out)["features"]
    assert then["card_activity__count_30d"] > 0


@pytest.mark.usefixtures("home")
def test_what_is_to_be_done_for_tables_is_told_before_and_not_again_afterwards(run: Run) -> None:
    report = json.loads(run("maintain", "report", "--json").out)
    planned = run("maintain", "lake", "--dry-run", "--json").out
    assert run("maintain", "lake", "--json").out == planned
    done = {one["table"]: one["commits"] for one in json.loads(planned)}
    assert done == {one["table"]: one["commits"] for one in report["tables"]}
    assert "features.card_activity_v1" in done
    again = json.loads(run("maintain", "lake", "--json").out)
    assert {one["commits"] for one in again} == {0}
    assert {(one["view"], one["layer"]) for one in report["online"]} == {
        ("card_activity", "batch"),
        ("terminal_risk", "batch"),
    }
    assert "bronze.transactions" in run("maintain", "report").out
    assert "0 deleted" in run("maintain", "checkpoints").out
    assert "there are no topics" in run("maintain", "topics").out


@pytest.mark.usefixtures("home")
def test_the_online_store_of_a_project_without_a_stream_is_made_anew_from_the_lake(
    run: Run,
) -> None:
    asked = ["features", "get", "--feature", "card_activity", "--entity", "card_id=card-000001"]
    made = run(*asked, "--as-of", "2018-05-15", "--json")
    assert made.status == 0, made.error
    before = json.loads(made.out)["features"]
    done = run("online", "rebuild", "--yes", "--date", "2018-05-15", "--json")
    assert done.status == 0, done.error
    report = json.loads(done.out)
    assert (report["updates"], len(report["views"])) == (0, 2)
    then = json.loads(run(*asked, "--as-of", "2018-05-15", "--json").out)["features"]
    assert then == before


IN_FULL = (
    "features get --feature transaction_context --entity card_id=1"
    " --request latitude=1 --request longitude=1"
)
MISTAKES = {
    "a missing file": ("ingest --file none.parquet --source transactions", "none.parquet"),
    "an unreadable file": (
        "ingest --file garbage.parquet --source transactions",
        "garbage.parquet",
    ),
    "bytes that are no CSV": ("ingest --file noise.csv --source transactions", "noise.csv"),
    "two entities": (
        "features get --feature card_activity --entity card_id=1 --entity card_id=2",
        "two values for the join key 'card_id'",
    ),
    "a missing column": ("ingest --file short.parquet --source transactions", "card_id"),
    "an unknown source": (
        "ingest --file short.parquet --source nowhere",
        "known: transaction_labels",
    ),
    "neither a file nor Kafka": ("ingest", "--file, --from-kafka or --date"),
    "a file and Kafka": ("ingest --from-kafka --file short.parquet", "--file short.parquet"),
    "Kafka in-process": ("ingest --from-kafka --engine local", "--engine local"),
    "nothing to skip in a file": ("ingest --file short.parquet --skip-lost", "--from-kafka"),
    "Kafka without a broker": ("ingest --from-kafka", "run: headrace up"),
    "an unknown format": ("ingest --file short.parquet --source transactions --format orc", "orc"),
    "an unknown view": ("backfill --view card_activty", "did you mean 'card_activity'"),
    "an unknown engine": ("backfill --engine flunk", "known: local, spark"),
    "no day": ("backfill --start yesterday", "2024-05-31"),
    "an empty range of days": ("backfill --start 2018-05-02 --end 2018-05-01", "2018-05-02"),
    "an unknown service": (
        "features history --service frod --spine good.parquet --out out.parquet",
        "did you mean 'fraud'",
    ),
    "an unknown feature": (
        "features history --feature card_activity:nothing --spine good.parquet --out out.parquet",
        "unknown feature of card_activity 'nothing'",
    ),
    "a spine without its keys": (
        "features history --service fraud --spine keyless.parquet --out out.parquet",
        "card_id",
    ),
    "a spine with a null key": (
        "features history --service fraud --spine nullkey.parquet --out out.parquet",
        "card_id",
    ),
    "a spine with times in seconds": (
        "features history --service fraud --spine seconds.parquet --out out.parquet",
        "seconds",
    ),
    "a missing spine": (
        "features history --service fraud --spine none.parquet --out out.parquet",
        "none.parquet",
    ),
    "no features": (
        "features history --spine good.parquet --out out.parquet",
        "--service (fraud, fraud_scoring)",
    ),
    "an entity that is none": ("features get --service fraud --entity card", "join_key=value"),
    "a missing key": ("features get --service fraud --entity card_id=1", "terminal_id"),
    "a request without a column": (
        "features get --feature transaction_context --entity card_id=1 --request latitude=1",
        "no value for the request column 'amount_minor' (add --request amount_minor=",
    ),
    "a request of the wrong type": (
        f"{IN_FULL} --request amount_minor=much",
        "amount_minor is int64",
    ),
    "a request with a fraction for an integer": (
        f"{IN_FULL} --request amount_minor=1.5",
        "amount_minor=1.5 of the request is float, expected int64",
    ),
    "a request that nobody asks for": (
        "features get --feature card_activity --entity card_id=1 --request amount_minor=1",
        "unknown request column 'amount_minor'",
    ),
    "a request that is none": (
        "features get --feature transaction_context --entity card_id=1 --request amount_minor",
        "--request 'amount_minor' is not column=value",
    ),
    "a spine without what requests bring": (
        "features history --service fraud_scoring --spine good.parquet --out out.parquet",
        "no column 'amount_minor', which on-demand view transaction_context takes",
    ),
    "a time that is none": (
        "features get --feature card_activity --entity card_id=1 --as-of soon",
        "no time",
    ),
    "too many days": ("simulate --days 100000", "2000 to 2099"),
    "two sizes": ("simulate --rows 10 --cards 10", "--rows"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_one_line_and_a_failure_and_leaves_nothing_behind(
    mistake: str, home: Path, run: Run
) -> None:
    (home / "garbage.parquet").write_bytes(b"PAR1 is how a Parquet file begins, but not all of it")
    (home / "noise.csv").write_bytes(bytes(range(256)) * 40)
    pq.write_table(pa.table({"transaction_id": ["1"]}), home / "short.parquet")
    spine(home / "good.parquet")
    spine(home / "keyless.parquet", card_id=None)
    spine(home / "nullkey.parquet", card_id=pa.array([None], pa.string()))
    spine(home / "seconds.parquet", event_time=[1_525_000_000])
    before = sorted(path for path in home.rglob("*") if path.is_file() and "logs" not in path.parts)
    line, expected = MISTAKES[mistake]
    done = run(*line.split())
    assert done.status not in (0, 70), done
    assert done.error.count("\n") == 1, done.error
    assert done.error.rstrip("\n").isprintable()
    assert expected in done.error
    assert "Traceback" not in done.error
    after = sorted(path for path in home.rglob("*") if path.is_file() and "logs" not in path.parts)
    assert [p for p in after if not p.name.startswith("online")] == [
        p for p in before if not p.name.startswith("online")
    ]


@pytest.mark.parametrize(
    "line",
    [
        "backfill",
        "materialize",
        "features history --feature card_activity --spine good.parquet --out out.parquet",
    ],
)
def test_a_damaged_table_is_one_line_that_names_it(line: str, home: Path, run: Run) -> None:
    spine(home / "good.parquet")
    log = home / "warehouse" / "bronze" / "transactions" / "_delta_log"
    (log / "00000000000000000000.json").write_text("{not json", encoding="utf-8")
    done = run(*line.split())
    assert done.status not in (0, 70)
    assert "bronze" in done.error
    assert done.error.count("\n") == 1


def test_missing_data_files_end_the_process_with_one_line(home: Path) -> None:
    """A process of its own: what ended badly was the end of the interpreter, and not each time."""
    days = sorted((home / "warehouse/bronze/transactions").glob("event_date=*"))
    for day in days[len(days) // 2 :: 5]:
        for file in day.glob("*.parquet"):
            file.unlink()
    for _ in range(4):
        done = subprocess.run(
            [HEADRACE, "backfill", "--view", "card_activity"],
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        assert done.returncode == 78, done.stderr
        assert "misses a data file that its log lists" in done.stderr
        assert done.stderr.count("\n") == 1


@pytest.mark.usefixtures("home")
def test_a_wrong_option_is_told_by_usage() -> None:
    done = subprocess.run(
        [HEADRACE, "ingest", "--flie", "x"], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 2
    assert "--flie" in done.stderr
