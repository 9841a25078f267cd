"""What several tests of the lake need: each engine, and a spine."""

from __future__ import annotations

from pathlib import Path

import pyarrow.parquet as pq
import pytest

from headrace_batch.warehouse import Warehouse
from headrace_schemas.settings import Settings


@pytest.fixture(params=["local", "spark"])
def either(request: pytest.FixtureRequest) -> str:
    """The name of an engine: what is tested holds with each."""
    if request.param == "spark":
        request.getfixturevalue("spark")
    return str(request.param)


@pytest.fixture(scope="module")
def spine(lake: Settings, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The transactions with what was found out about each."""
    place = tmp_path_factory.mktemp("spine") / "spine.parquet"
    warehouse = Warehouse.of(lake)
    labels = warehouse.read(
        "bronze.transaction_labels", ["transaction_id", "is_fraud", "reported_at"]
    )
    events = warehouse.read("bronze.transactions").drop_columns(["event_date"])
    joined = events.join(labels, "transaction_id", join_type="inner")
    pq.write_table(joined.sort_by([("event_time", "ascending"), ("card_id", "ascending")]), place)
    return place
