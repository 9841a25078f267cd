"""What several tests of the lake need: one of simulated transactions, and spines of them."""

from __future__ import annotations

from pathlib import Path

import pyarrow.parquet as pq
import pytest

from headrace_batch.warehouse import Warehouse
from headrace_schemas.settings import Settings
from lakes import settings_in, write_simulated


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """A few simulated transactions with their labels, for the tests of one file."""
    settings = settings_in(tmp_path_factory.mktemp("lake"))
    write_simulated(settings)
    return settings


@pytest.fixture
def own_lake(tmp_path: Path) -> Settings:
    """The same for one test, which changes it."""
    settings = settings_in(tmp_path / "home")
    write_simulated(settings)
    return settings


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
