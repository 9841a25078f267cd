"""Both engines write the same bits for the fraud service, on simulated transactions."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from deltalake import DeltaTable

from headrace_batch.local_engine import LocalEngine
from headrace_batch.spark_engine import SparkEngine
from headrace_batch.warehouse import Warehouse
from headrace_features.definitions.views import FeatureView
from headrace_features.fraud.definitions import card_activity, fraud, terminal_risk
from headrace_schemas.settings import Settings
from lakes import settings_in, write_simulated


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    settings = settings_in(tmp_path_factory.mktemp("lake"))
    write_simulated(settings)
    return settings


@pytest.mark.usefixtures("spark")
def test_histories_of_the_fraud_service_are_bit_equal(lake: Settings, tmp_path: Path) -> None:
    transactions = Warehouse.of(lake).read("bronze.transactions")
    shuffled = transactions.take(np.random.default_rng(1).permutation(len(transactions)))
    pq.write_table(shuffled, tmp_path / "spine.parquet")

    for name, engine in (("local", LocalEngine(lake)), ("spark", SparkEngine(lake))):
        out = str(tmp_path / f"{name}.parquet")
        assert engine.history_file(fraud.selections, str(tmp_path / "spine.parquet"), out) == len(
            transactions
        )

    local, on_spark = (pq.read_table(tmp_path / f"{name}.parquet") for name in ("local", "spark"))
    assert local.schema == on_spark.schema
    assert same_bits(local, on_spark)
    assert local.select(shuffled.column_names).equals(shuffled)


@pytest.mark.usefixtures("spark")
@pytest.mark.parametrize("view", [card_activity, terminal_risk], ids=lambda view: view.name)
def test_feature_tables_of_some_days_are_bit_equal(lake: Settings, view: FeatureView) -> None:
    first, last = date(2018, 4, 20), date(2018, 5, 10)
    tables = []
    for engine in (LocalEngine(lake), SparkEngine(lake)):
        report = engine.backfill(view, first, last)
        table = DeltaTable(report.table).to_pyarrow_table()
        assert report.rows == len(table)
        assert pc.min_max(table["event_date"]).as_py() == {"min": first, "max": last}
        tables.append(table.sort_by("transaction_id"))
    assert same_bits(*tables)


def same_bits(left: pa.Table, right: pa.Table) -> bool:
    """Whether tables are equal with 0.0 and -0.0 apart, and NaN equal to itself."""
    return all(
        pc.is_null(a).equals(pc.is_null(b)) and as_bits(a).equals(as_bits(b))
        for a, b in zip(left.columns, right.columns, strict=True)
    )


def as_bits(column: pa.ChunkedArray) -> pa.ChunkedArray:
    if column.type != pa.float64():
        return column
    return pa.chunked_array([pc.fill_null(column, 0.0).to_numpy().view(np.int64)])
