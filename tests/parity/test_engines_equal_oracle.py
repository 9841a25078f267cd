"""Both engines give what the oracle gives, bit for bit, through real tables and real Spark."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from deltalake import DeltaTable

from engine_cases import (
    FILTERED,
    expected_at_events,
    random_events,
    random_rows,
    spine_table,
    write_readings,
)
from headrace_batch import history_spark, local_spill, spark_events
from headrace_batch.local_engine import LocalEngine
from headrace_batch.spark_engine import SparkEngine
from headrace_features import oracle
from headrace_features.definitions.views import FeatureView
from headrace_features.engines import Engine
from headrace_schemas.settings import Settings
from histories import LATE, PROMPT, bits, view_of

VIEWS = {"prompt": view_of(PROMPT), "late": view_of(LATE), "filtered": FILTERED}
FIRST, LAST = date(2021, 3, 3), date(2021, 3, 4)


@pytest.fixture(params=["local", "spark"])
def engine(
    request: pytest.FixtureRequest, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> Engine:
    """Each engine, with its work divided as that on large tables is."""
    if request.param == "local":
        monkeypatch.setattr(local_spill, "PART_ROWS", 150)
        return LocalEngine(settings)
    request.getfixturevalue("spark")
    monkeypatch.setattr(spark_events, "_PARTITION_ROWS", 250)
    monkeypatch.setattr(history_spark, "_SLICE_ROWS", 150)
    return SparkEngine(settings)


@pytest.mark.parametrize("name", VIEWS)
def test_a_history_equals_the_oracle_for_every_aggregate_and_window(
    name: str, engine: Engine, settings: Settings, tmp_path: Path
) -> None:
    view = VIEWS[name]
    events = random_events(1, 400)
    rows = random_rows(2, events, 300)
    write_readings(settings, view, events)
    spine, out = tmp_path / "spine.parquet", tmp_path / "out.parquet"
    pq.write_table(spine_table(rows), spine)

    assert engine.history_file([view.select(*view.feature_names)], str(spine), str(out)) == 330

    found = pq.read_table(out)
    assert found.select(["note", "sensor", "event_time", "reading_id"]).equals(spine_table(rows))
    assert_bits(found, view, oracle.values(view, events, rows))


def test_a_backfill_equals_the_oracle_at_every_event(engine: Engine, settings: Settings) -> None:
    view = VIEWS["late"]
    events = random_events(3, 400)
    write_readings(settings, view, events)

    report = engine.backfill(view, FIRST, LAST)

    assert report.rows == 400
    found = DeltaTable(report.table).to_pyarrow_table()
    expected = expected_at_events(view, events)
    assert sorted(found["reading_id"].to_pylist()) == sorted(expected)
    columns = {feature: found[feature] for feature in view.feature_names}
    prefixed = pa.table({f"{view.name}__{name}": column for name, column in columns.items()})
    assert_bits(prefixed, view, [expected[key] for key in found["reading_id"].to_pylist()])


def assert_bits(found: pa.Table, view: FeatureView, expected: list[oracle.Row]) -> None:
    for name in view.feature_names:
        column = found[f"{view.name}__{name}"].to_pylist()
        assert [bits(value) for value in column] == [bits(row[name]) for row in expected], name
