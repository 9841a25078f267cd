from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pytest
from deltalake import write_deltalake

from headrace_batch.warehouse import Warehouse
from headrace_schemas.errors import ConfigurationError, RetryableError
from headrace_schemas.settings import load

SCHEMA = pa.schema([("key", pa.string()), ("day", pa.date32())])


def rows(*keys: str) -> pa.Table:
    days = pa.array([len(key) for key in keys], pa.int32()).cast(pa.date32())
    return pa.table([list(keys), days], schema=SCHEMA)


@pytest.fixture
def warehouse(tmp_path: Path) -> Warehouse:
    """One with a table of three commits."""
    made = Warehouse(str(tmp_path / "w"))
    table = made.create("bronze.x", SCHEMA, partition_by=["day"])
    write_deltalake(table, rows("a", "bb"), mode="append")
    write_deltalake(table, rows("ccc"), mode="append")
    return made


def test_a_table_is_created_once_and_then_opened(warehouse: Warehouse) -> None:
    assert warehouse.create("bronze.x", pa.schema([("other", pa.int64())])).version() == 2
    assert not warehouse.exists("bronze.y")
    assert warehouse.create("bronze.y", SCHEMA).version() == 0
    assert warehouse.exists("bronze.y")


def test_rows_are_read_by_column_and_condition(warehouse: Warehouse) -> None:
    first = pa.scalar(1, pa.int32()).cast(pa.date32())
    found = warehouse.read("bronze.x", ["key"], pc.field("day") > first)
    assert sorted(found.column("key").to_pylist()) == ["bb", "ccc"]


def test_a_table_that_is_not_there_is_told_with_its_place_and_what_fills_it(
    warehouse: Warehouse,
) -> None:
    with pytest.raises(
        ConfigurationError, match=r"there is no table bronze.y at .*headrace ingest"
    ):
        warehouse.open("bronze.y")


@pytest.mark.parametrize("name", ["x", "bronze", "bronze.a.b", "bronze/x", "../bronze.x", ".x"])
def test_a_name_that_would_lead_elsewhere_is_refused(warehouse: Warehouse, name: str) -> None:
    with pytest.raises(ConfigurationError):
        warehouse.uri(name)


def broken_commit(table: Path) -> None:
    (table / "_delta_log" / "00000000000000000001.json").write_text("{nonsense")


def missing_commit(table: Path) -> None:
    (table / "_delta_log" / "00000000000000000001.json").unlink()


def missing_first_commit(table: Path) -> None:
    (table / "_delta_log" / "00000000000000000000.json").unlink()


def empty_commit(table: Path) -> None:
    (table / "_delta_log" / "00000000000000000001.json").write_bytes(b"")


def missing_data(table: Path) -> None:
    next(table.glob("*/*.parquet")).unlink()


def broken_data(table: Path) -> None:
    next(table.glob("*/*.parquet")).write_bytes(b"PAR1 nonsense PAR1")


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (broken_commit, "has a damaged Delta log"),
        (missing_commit, "has a damaged Delta log"),
        (missing_first_commit, "has a damaged Delta log"),
        (empty_commit, "has a damaged Delta log"),
        (missing_data, "misses a data file"),
        (broken_data, "has a damaged Delta log or data file"),
    ],
)
def test_damage_is_one_line_that_says_what_to_do(
    warehouse: Warehouse, damage: Callable[[Path], None], words: str
) -> None:
    place = warehouse.uri("bronze.x")
    damage(Path(place))
    with pytest.raises(ConfigurationError) as caught:
        warehouse.read("bronze.x")
    told = str(caught.value)
    assert told.startswith(f"table bronze.x at {place} {words}")
    assert "restore" in told
    assert "\n" not in told


def test_a_log_in_which_nothing_was_committed_is_no_table(tmp_path: Path) -> None:
    (tmp_path / "bronze" / "x" / "_delta_log").mkdir(parents=True)
    warehouse = Warehouse(str(tmp_path))
    assert not warehouse.exists("bronze.x")
    assert warehouse.create("bronze.x", SCHEMA).version() == 0


def test_an_unknown_kind_of_url_is_a_mistake_in_the_settings() -> None:
    with pytest.raises(
        ConfigurationError, match=r"can't be reached: Unknown scheme.*headrace.toml"
    ):
        Warehouse("nowhere://bucket/w").find("bronze.x")


def test_a_store_that_does_not_answer_can_be_tried_again() -> None:
    nobody = {
        "AWS_ENDPOINT_URL": "http://127.0.0.1:9",
        "AWS_ALLOW_HTTP": "true",
        "AWS_REGION": "none",
        "AWS_ACCESS_KEY_ID": "none",
        "AWS_SECRET_ACCESS_KEY": "none",
        "max_retries": "0",
    }
    with pytest.raises(RetryableError, match="can't be read or written"):
        Warehouse("s3://bucket/w", nobody).find("bronze.x")


@pytest.mark.parametrize("name", ["a b", "é", "a#b", "a?b", "a+b", "a:b", "a'b"])
def test_a_folder_may_have_an_odd_name(tmp_path: Path, name: str) -> None:
    warehouse = Warehouse(str(tmp_path / name))
    write_deltalake(
        warehouse.create("bronze.x", SCHEMA, partition_by=["day"]), rows("a"), mode="append"
    )
    assert warehouse.read("bronze.x", ["key"]).to_pylist() == [{"key": "a"}]


@pytest.mark.parametrize("name", ["a%b", "a[b", "a]b", "a\\b", "a^b", "a|b"])
def test_a_folder_that_delta_can_not_address_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(
        ConfigurationError, match="in its path, which Delta tables can't be written"
    ):
        Warehouse(str(tmp_path / name))


def test_secrets_of_the_store_are_not_shown(tmp_path: Path) -> None:
    settings = load(tmp_path, {"HEADRACE_WAREHOUSE_STORAGE_OPTIONS": '{"some_key": "hush"}'})
    warehouse = Warehouse.of(settings)
    assert warehouse.storage_options["some_key"] == "hush"
    assert "hush" not in repr(warehouse)


CREATE = """
import sys
import pyarrow as pa
from headrace_batch.warehouse import Warehouse
print("ready", flush=True)
for place in sys.stdin:
    warehouse = Warehouse(place.strip())
    print(warehouse.create("bronze.x", pa.schema([("key", pa.string())])).version(), flush=True)
"""


def creator() -> subprocess.Popen[str]:
    command = [sys.executable, "-c", CREATE]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def test_two_who_create_a_table_at_once_get_the_same_one(tmp_path: Path) -> None:
    with creator() as left, creator() as right:
        for one in (left, right):
            assert one.stdout is not None
            assert one.stdout.readline() == "ready\n"
        for number in range(30):
            for one in (left, right):
                print(tmp_path / str(number), file=one.stdin, flush=True)
            assert [one.stdout and one.stdout.readline() for one in (left, right)] == ["0\n"] * 2
