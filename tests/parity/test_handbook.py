"""The published features of the Fraud Detection Handbook, computed here, by both engines."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from numpy.typing import NDArray
from pyspark.sql import SparkSession

from conftest import SPARK
from headrace_batch.ingest.run import ingest
from headrace_features.engines import load_engine
from headrace_features.project import Project, load_project
from headrace_schemas.settings import Settings, load

pytestmark = pytest.mark.handbook

ROWS = 872_795
#: Rows of a card with several transactions in one second, of which the authors count but those
#: above the row in their file; every transaction of that second counts here.
TIED = 15
DAYS = (1, 7, 30)

Lake = tuple[Settings, Project, pa.Table]


@pytest.fixture(scope="module")
def lake(handbook: Path, tmp_path_factory: pytest.TempPathFactory) -> Lake:
    """The published transactions, ingested, and a spine of all of them."""
    home = tmp_path_factory.mktemp("handbook")
    settings = load(home, {"HEADRACE_HOME": str(home), **SPARK})
    project = load_project(settings)
    report = ingest(
        settings, project, str(handbook / "transactions.parquet"), file_format="handbook"
    )
    assert [source.ingested for source in report.sources] == [ROWS, ROWS]
    published = pq.read_table(handbook / "transactions.parquet")
    spine = pa.table(
        {
            "transaction_id": published["TRANSACTION_ID"].cast(pa.string()),
            "card_id": published["CUSTOMER_ID"].cast(pa.string()),
            "terminal_id": published["TERMINAL_ID"].cast(pa.string()),
            "event_time": published["TX_DATETIME"].cast(pa.timestamp("ms")).cast(pa.int64()),
        }
    )
    return settings, project, spine


@pytest.fixture(scope="module")
def found(lake: Lake) -> pa.Table:
    """The features of every transaction, in-process."""
    settings, project, spine = lake
    return load_engine("local", settings).history(project.select((), "fraud"), spine)


@pytest.fixture(scope="module")
def expected(handbook: Path, lake: Lake) -> Mapping[str, NDArray[np.float64]]:
    """The published features, in the order of the spine."""
    table = pq.read_table(handbook / "expected_features.parquet")
    place = pc.index_in(lake[2]["transaction_id"], table["TRANSACTION_ID"].cast(pa.string()))
    ordered = table.take(place)
    return {name: ordered[name].to_numpy().astype(np.float64) for name in ordered.column_names}


@pytest.fixture(scope="module")
def ties(lake: Lake) -> list[NDArray[np.int64]]:
    """The positions of each pair of transactions of one card in one second."""
    keys = lake[2].select(["card_id", "event_time"])
    rows = keys.append_column("row", pa.array(np.arange(len(keys))))
    groups = rows.group_by(["card_id", "event_time"]).aggregate([("row", "list")])["row_list"]
    return [
        np.array(pair)
        for pair in groups.filter(pc.equal(pc.list_value_length(groups), 2)).to_pylist()
    ]


@pytest.mark.parametrize("days", DAYS)
def test_counts_and_means_of_a_card_agree_but_for_the_tied_rows(
    days: int,
    found: pa.Table,
    expected: Mapping[str, NDArray[np.float64]],
    ties: list[NDArray[np.int64]],
) -> None:
    counts = found[f"card_activity__count_{days}d"].to_numpy()
    means = found[f"card_activity__amount_minor_mean_{days}d"].to_numpy() / 100
    published_counts = expected[f"CUSTOMER_ID_NB_TX_{days}DAY_WINDOW"]
    published_means = expected[f"CUSTOMER_ID_AVG_AMOUNT_{days}DAY_WINDOW"]
    close = np.isclose(means, published_means, rtol=1e-9, atol=1e-9)
    for differs in (counts != published_counts, ~close):
        assert [differs[pair].sum() for pair in ties] == [1] * TIED
        assert differs.sum() == TIED


@pytest.mark.parametrize("days", DAYS)
def test_counts_and_shares_of_a_terminal_agree_in_every_row(
    days: int, found: pa.Table, expected: Mapping[str, NDArray[np.float64]]
) -> None:
    counts = found[f"terminal_risk__count_{days}d_delayed_7d"].to_numpy()
    shares = pc.fill_null(found[f"terminal_risk__is_fraud_mean_{days}d_delayed_7d"], 0.0)
    assert np.array_equal(counts, expected[f"TERMINAL_ID_NB_TX_{days}DAY_WINDOW"])
    published = expected[f"TERMINAL_ID_RISK_{days}DAY_WINDOW"]
    assert np.allclose(shares.to_numpy(), published, rtol=1e-9, atol=1e-9)


def test_spark_gives_the_same_bits(lake: Lake, found: pa.Table, spark: SparkSession) -> None:
    del spark  # the engine uses the session that is active
    settings, project, spine = lake
    by_spark = load_engine("spark", settings).history(project.select((), "fraud"), spine)
    assert by_spark.schema == found.schema
    assert by_spark.equals(found)
