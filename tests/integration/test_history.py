"""Histories keep the spine as it is, and refuse what they can't answer before they write."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from deltalake import DeltaTable

from headrace_batch import history_files, history_spark, local_spill
from headrace_batch.history_scratch import scratch
from headrace_batch.local_engine import LocalEngine
from headrace_batch.spark_engine import SparkEngine
from headrace_batch.warehouse import Warehouse
from headrace_features.engines import Engine
from headrace_features.fraud.definitions import card_activity, fraud, terminal_risk
from headrace_schemas.errors import BadRecordError, ConfigurationError
from headrace_schemas.settings import Settings
from lakes import settings_in


@pytest.fixture(params=["local", "spark"])
def engine(request: pytest.FixtureRequest, lake: Settings) -> Engine:
    if request.param == "local":
        return LocalEngine(lake)
    request.getfixturevalue("spark")
    return SparkEngine(lake)


@pytest.fixture(scope="module")
def spine(lake: Settings) -> pa.Table:
    """Some transactions, in no order, one of them twice, with columns that no engine knows."""
    events = Warehouse.of(lake).read("bronze.transactions").slice(900, 40)
    rows = events.select(["transaction_id", "card_id", "terminal_id", "event_time"])
    rows = pa.concat_tables([rows, rows.slice(3, 1)]).take(
        pc.sort_indices(pa.array(range(41, 0, -1)))
    )
    moments = pa.array([datetime(2020, 1, 1, tzinfo=UTC)] * 41, pa.timestamp("ns", tz="Asia/Tokyo"))
    return (
        rows.append_column("nested", pa.array([[{"x": 1}], None, []] * 13 + [[], None]))
        .append_column("moment", moments)
        .append_column("kind", pa.array(["a", "b", None] * 13 + ["a", "b"]).dictionary_encode())
        .append_column("money", pa.array([None, 1] * 20 + [2], pa.decimal128(9, 2)))
        .replace_schema_metadata({"made by": "somebody"})
    )


def test_the_columns_of_the_spine_come_back_as_they_are(
    engine: Engine, spine: pa.Table, tmp_path: Path
) -> None:
    pq.write_table(spine, tmp_path / "spine.parquet")
    out = tmp_path / "out.parquet"
    rows = engine.history_file(fraud.selections, str(tmp_path / "spine.parquet"), str(out))
    found, given = pq.read_table(out), pq.read_table(tmp_path / "spine.parquet")
    assert rows == len(found) == 41
    assert found.select(spine.column_names).equals(given, check_metadata=True)
    names = [f"{s.view.name}__{name}" for s in fraud.selections for name in s.names]
    assert found.column_names == spine.column_names + names
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_a_spine_in_memory_gives_the_same_as_a_file(
    engine: Engine, spine: pa.Table, tmp_path: Path
) -> None:
    pq.write_table(spine, tmp_path / "spine.parquet")
    out = tmp_path / "out.parquet"
    engine.history_file(fraud.selections, str(tmp_path / "spine.parquet"), str(out))
    assert engine.history(fraud.selections, spine).equals(pq.read_table(out))


def test_an_empty_spine_gives_an_empty_result_with_every_column(
    engine: Engine, spine: pa.Table, tmp_path: Path
) -> None:
    expected = engine.history(fraud.selections, spine).schema
    pq.write_table(spine.slice(0, 0), tmp_path / "spine.parquet")
    out = tmp_path / "out.parquet"
    assert engine.history_file(fraud.selections, str(tmp_path / "spine.parquet"), str(out)) == 0
    assert pq.read_table(out).schema.equals(expected)
    assert engine.history(fraud.selections, spine.slice(0, 0)).schema.equals(expected)


def test_some_features_have_the_values_they_have_among_all(lake: Settings, spine: pa.Table) -> None:
    engine = LocalEngine(lake)
    everything = engine.history(fraud.selections, spine)
    some = [
        terminal_risk.select("is_fraud_mean_7d_delayed_7d", "count_1d_delayed_7d"),
        card_activity.select("longitude_last_30d_excluding_current", "count_1h"),
    ]
    found = engine.history(some, spine)
    assert found.column_names[-4:] == [
        "terminal_risk__is_fraud_mean_7d_delayed_7d",
        "terminal_risk__count_1d_delayed_7d",
        "card_activity__longitude_last_30d_excluding_current",
        "card_activity__count_1h",
    ]
    assert found.equals(everything.select(found.column_names))


def test_an_entity_without_events_has_the_values_of_an_empty_window(
    engine: Engine, spine: pa.Table
) -> None:
    unknown = spine.slice(0, 1).set_column(1, "card_id", pa.array(["nobody"]))
    found = engine.history([card_activity.select("count_30d", "amount_minor_mean_30d")], unknown)
    assert found["card_activity__count_30d"].to_pylist() == [0]
    assert found["card_activity__amount_minor_mean_30d"].to_pylist() == [None]


def test_a_key_of_another_type_than_the_events_have_is_refused(
    engine: Engine, spine: pa.Table, tmp_path: Path
) -> None:
    numbers = spine.set_column(1, "card_id", pa.array(range(41)))
    pq.write_table(numbers, tmp_path / "spine.parquet")
    out = tmp_path / "out.parquet"
    with pytest.raises(ConfigurationError, match=r"'card_id' .* is int64, expected string") as of:
        engine.history_file(fraud.selections, str(tmp_path / "spine.parquet"), str(out))
    assert not out.exists()
    with pytest.raises(ConfigurationError, match=re.escape(of.value.message)):
        engine.history(fraud.selections, numbers)


def test_the_event_that_a_row_decides_is_left_out_where_the_spine_names_it(
    engine: Engine, spine: pa.Table
) -> None:
    selection = card_activity.select("event_time_last_30d_excluding_current")
    name = "card_activity__event_time_last_30d_excluding_current"
    named = engine.history([selection], spine)
    unnamed = engine.history([selection], spine.drop(["transaction_id"]))
    assert pc.all(pc.equal(unnamed[name], unnamed["event_time"])).as_py()
    assert not pc.any(pc.equal(named[name], named["event_time"])).as_py()


def test_a_file_is_read_and_written_in_pieces(
    engine: Engine, lake: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = Warehouse.of(lake).read("bronze.transactions").slice(0, 400)
    pq.write_table(rows, tmp_path / "spine.parquet", row_group_size=70)
    expected = LocalEngine(lake).history(fraud.selections, rows)
    monkeypatch.setattr(history_files, "BATCH_ROWS", 64)
    monkeypatch.setattr(history_spark, "BATCH_ROWS", 50)
    monkeypatch.setattr(history_spark, "_SLICE_ROWS", 90)
    monkeypatch.setattr(local_spill, "PART_ROWS", 120)
    again = type(engine)(lake)
    out = tmp_path / "out.parquet"
    assert again.history_file(fraud.selections, str(tmp_path / "spine.parquet"), str(out)) == 400
    assert pq.read_table(out).equals(expected)


@pytest.mark.parametrize(
    ("content", "words"),
    [(None, "no spine"), (b"", "can't be read"), (b"PAR1 nonsense PAR1", "can't be read")],
)
def test_a_spine_that_is_missing_or_no_parquet_is_one_clear_line(
    engine: Engine, tmp_path: Path, content: bytes | None, words: str
) -> None:
    spine, out = tmp_path / "spine.parquet", tmp_path / "out.parquet"
    if content is not None:
        spine.write_bytes(content)
    with pytest.raises(ConfigurationError, match=words) as caught:
        engine.history_file(fraud.selections, str(spine), str(out))
    assert str(spine) in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not out.exists()


def test_a_bad_row_leaves_an_older_result_as_it_was(
    engine: Engine, spine: pa.Table, tmp_path: Path
) -> None:
    keys = spine["card_id"].to_pylist()
    bad = spine.set_column(1, "card_id", pa.array([*keys[:-1], None]))
    pq.write_table(bad, tmp_path / "spine.parquet")
    out = tmp_path / "out.parquet"
    out.write_bytes(b"older")
    with pytest.raises(BadRecordError, match="row 40 of the spine has no card_id"):
        engine.history_file(fraud.selections, str(tmp_path / "spine.parquet"), str(out))
    assert out.read_bytes() == b"older"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out.parquet", "spine.parquet"]


def test_a_result_in_a_folder_that_does_not_exist_is_refused(
    lake: Settings, spine: pa.Table, tmp_path: Path
) -> None:
    pq.write_table(spine, tmp_path / "spine.parquet")
    out = str(tmp_path / "none" / "out.parquet")
    with pytest.raises(ConfigurationError, match="can't be written"):
        LocalEngine(lake).history_file(fraud.selections, str(tmp_path / "spine.parquet"), out)


def test_events_without_a_table_are_named(settings: Settings, spine: pa.Table) -> None:
    with pytest.raises(ConfigurationError, match=r"no table bronze\.transactions"):
        LocalEngine(settings).history(fraud.selections, spine)


@pytest.mark.usefixtures("spark")
def test_spark_leaves_nothing_between_the_tables(lake: Settings, spine: pa.Table) -> None:
    SparkEngine(lake).history(fraud.selections, spine)
    assert list((Path(lake.warehouse.path) / "_scratch").iterdir()) == []


def test_what_a_killed_process_left_is_removed_after_some_days(settings: Settings) -> None:
    folder = Path(settings.warehouse.path) / "_scratch"
    (folder / "1600000000-abc").mkdir(parents=True)
    (folder / "somebody else's").mkdir()
    with scratch(Warehouse.of(settings)) as made:
        assert sorted(path.name for path in folder.iterdir()) == [made.name, "somebody else's"]
        with scratch(Warehouse.of(settings)):
            assert (folder / made.name).exists()
    assert [path.name for path in folder.iterdir()] == ["somebody else's"]


def test_warehouse_spine_and_result_may_be_urls(
    lake: Settings, spine: pa.Table, tmp_path: Path
) -> None:
    expected = LocalEngine(lake).history(fraud.selections, spine)
    by_url = settings_in(tmp_path, HEADRACE_WAREHOUSE_PATH=f"file://{lake.warehouse.path}")
    pq.write_table(spine, tmp_path / "spine.parquet")
    LocalEngine(by_url).history_file(
        fraud.selections, f"file://{tmp_path}/spine.parquet", f"file://{tmp_path}/out.parquet"
    )
    assert pq.read_table(tmp_path / "out.parquet").equals(expected)
    assert DeltaTable(Warehouse.of(by_url).uri("bronze.transactions")).version() >= 0
