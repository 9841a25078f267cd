"""What several tests need: empty homes and filled lakes, one Spark session, a running stream."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from headrace_schemas.settings import Settings, load
from lakes import settings_in, write_simulated

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

#: Names the folder with the published transactions and features.
HANDBOOK = "HEADRACE_HANDBOOK"
#: Says which share of the tests in `LONG` is to be done, such as 0/3; without it all are.
SHARE = "HEADRACE_TEST_SHARE"
LONG = {"live", "faults", "deployed", "scheduled", "benchmarks", "handbook"}
#: Short runs: compiling everything to the last would take longer than it saves.
JAVA_OPTIONS = "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC"
os.environ.setdefault("KAFKA_JVM_PERFORMANCE_OPTS", JAVA_OPTIONS)
#: Settings for Spark in tests, here and in the processes that tests start.
SPARK = {
    "HEADRACE_SPARK_MASTER": "local[2]",
    "HEADRACE_SPARK_CONF": json.dumps(
        {"spark.driver.memory": "1g", "spark.driver.extraJavaOptions": JAVA_OPTIONS}
    ),
}


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out, and count as such, what needs the published data where there is none.

    In continuous integration nothing is left out: there the data has to be. Of long tests a share
    is done where one is asked for.
    """
    _leave_out(config, items, _others(items, os.environ.get(SHARE, "")))
    if os.environ.get(HANDBOOK) or os.environ.get("CI"):
        return
    absent = [item for item in items if item.get_closest_marker("handbook")]
    _leave_out(config, items, absent)


def _others(items: Sequence[pytest.Item], share: str) -> list[pytest.Item]:
    """The long tests that are in another share, such as 0/3: every third one is in that."""
    if not share:
        return []
    number, shares = (int(part) for part in share.split("/"))
    long = [item for item in items if item.path.parent.name in LONG]
    return [item for place, item in enumerate(long) if place % shares != number]


def _leave_out(
    config: pytest.Config, items: list[pytest.Item], others: Sequence[pytest.Item]
) -> None:
    if others:
        config.hook.pytest_deselected(items=others)
        left_out = set(others)
        items[:] = [item for item in items if item not in left_out]


@pytest.fixture(scope="session")
def handbook() -> Path:
    """The folder with the published transactions and features."""
    folder = Path(os.environ.get(HANDBOOK, ""))
    assert (folder / "transactions.parquet").exists(), f"{HANDBOOK} names no published data"
    return folder


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """The built-in project in a folder of its own, with an empty warehouse."""
    return load(tmp_path, SPARK)


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


@pytest.fixture(scope="session")
def spark(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SparkSession]:
    """The one Spark session of a test run; every Spark engine uses it while it is active."""
    from headrace_batch.spark_session import spark_session

    session = spark_session(load(tmp_path_factory.mktemp("spark"), {**os.environ, **SPARK}))
    yield session
    session.stop()


@pytest.fixture
def stream(tmp_path: Path) -> Iterator[Settings]:
    """The settings of a home with a running broker and cluster, and the topics."""
    from headrace_features.project import load_project
    from headrace_streaming.kafka.clients import kafka_config
    from headrace_streaming.kafka.topics import create_topics, topics_of
    from headrace_streaming.services import control

    settings = load(tmp_path, {"HEADRACE_HOME": str(tmp_path)})
    try:
        control.up(settings.home, os.environ)
        create_topics(kafka_config(settings), topics_of(load_project(settings)))
        yield settings
    finally:
        control.down(settings.home)


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    """Where the embedded services of a test have their data."""
    from streams import headrace

    yield tmp_path / "home"
    headrace(tmp_path / "home", "down", folder=tmp_path)
