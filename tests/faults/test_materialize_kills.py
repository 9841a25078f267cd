"""A killed materialization leaves what there was; a rerun gives the same tables and fields."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
import zlib
from collections.abc import Iterator, Mapping
from datetime import date
from pathlib import Path

import pyarrow.compute as pc
import pytest
from pyspark.sql import SparkSession

from conftest import SPARK
from headrace_batch.materialize import materialize_view
from headrace_batch.spark_engine import SparkEngine
from headrace_batch.warehouse import Warehouse
from headrace_features.fraud.definitions import card_activity
from headrace_schemas.errors import RetryableError
from headrace_schemas.settings import Settings
from headrace_schemas.tables import tiles_table
from lakes import settings_in, unwatched, write_simulated
from late_lakes import Fields, fields_of
from redis_servers import RedisServer, redis_server

DAYS = [date(2018, 5, day) for day in range(7, 11)]

# Small writes, so that there are many moments to be killed at.
CHILD = """
import os, sys
from datetime import date
from pathlib import Path
from headrace_batch import layer_fields, materialize
from headrace_features.online import sqlite_generations
from headrace_features.fraud.definitions import card_activity
from headrace_schemas.settings import load
layer_fields._FIELDS_PER_WRITE = 5
sqlite_generations._SWEPT = 2
home = Path(sys.argv[1])
settings = load(home, {**os.environ, "HEADRACE_HOME": str(home)})
for day in range(7, 11):
    print("started", flush=True)
    materialize.materialize_view(settings, card_activity, date(2018, 5, day), lambda done: None)
print("done", flush=True)
"""


# Of workers each writes less, so that there are more of these moments, too.
ON_SPARK = """
import os, sys
from datetime import date
from pathlib import Path
from headrace_batch import layer_spark, tiles_spark
from headrace_batch.spark_engine import SparkEngine
from headrace_batch.spark_session import spark_session
from headrace_features.fraud.definitions import card_activity
from headrace_schemas.settings import load
tiles_spark._LEAST_ROWS = 50
layer_spark._PARTITION_ROWS = 200
home = Path(sys.argv[1])
settings = load(home, {**os.environ, "HEADRACE_HOME": str(home)})
spark_session(settings)
for day in range(7, 11):
    print("started", flush=True)
    SparkEngine(settings).materialize(card_activity, date(2018, 5, day), lambda done: None)
print("done", flush=True)
"""


def published(settings: Settings) -> Fields:
    """The fields that readers see."""
    keys = Warehouse.of(settings).read(card_activity.source.table)["card_id"]
    return fields_of(settings, card_activity, pc.unique(keys).to_pylist())


def tiles(settings: Settings) -> list[tuple[object, ...]]:
    """What the tiles have of each entity and day."""
    table = Warehouse.of(settings).read(tiles_table("card_activity", 1))
    return sorted(
        (row["event_date"], row["card_id"], row["events_count"], str(row["events"]))
        for row in table.to_pylist()
    )


@pytest.fixture(scope="module")
def clean(tmp_path_factory: pytest.TempPathFactory) -> tuple[Settings, list[Fields]]:
    """What a run without faults publishes day after day."""
    settings = settings_in(tmp_path_factory.mktemp("clean"))
    write_simulated(settings)
    states = []
    for day in DAYS:
        materialize_view(settings, card_activity, day, unwatched)
        states.append(published(settings))
    return settings, states


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
    project = f"killed_{zlib.crc32(str(tmp_path).encode())}"
    timeout = {"HEADRACE_ONLINE_TIMEOUT": "5s"}
    return {**server.environ(), **timeout, "HEADRACE_PROJECT_NAME": project}


def killed(
    home: Path,
    chance: random.Random,
    environ: Mapping[str, str],
    code: str = CHILD,
    day_s: float = 0.2,
) -> bool:
    """Start the child, and kill it at a random moment of a random day, which takes so long."""
    child = subprocess.Popen(
        [sys.executable, "-c", code, str(home)],
        env={**os.environ, **SPARK, **environ},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert child.stdout is not None
    for _ in range(chance.randint(1, len(DAYS))):
        if child.stdout.readline() != "started\n":
            break
    time.sleep(chance.uniform(0.0, day_s))
    alive = child.poll() is None
    if alive:
        os.kill(child.pid, signal.SIGKILL)
    child.communicate()
    return alive


@pytest.mark.parametrize("seed", range(3))
def test_killed_at_a_random_moment_and_run_again(
    seed: int, tmp_path: Path, environ: dict[str, str], clean: tuple[Settings, list[Fields]]
) -> None:
    settings = settings_in(tmp_path, **environ)
    write_simulated(settings)
    chance = random.Random(seed)
    kills = 0
    for _ in range(4):
        kills += killed(tmp_path, chance, environ)
        assert published(settings) in ({}, *clean[1])
    for day in DAYS:
        materialize_view(settings, card_activity, day, unwatched)
    assert published(settings) == clean[1][-1]
    assert tiles(settings) == tiles(clean[0])
    assert clean[1][-1], "the clean run published something to compare with"
    assert kills, "no run was killed before it ended"


def test_workers_whose_driver_is_killed_leave_what_there_was(
    tmp_path: Path, clean: tuple[Settings, list[Fields]], spark: SparkSession
) -> None:
    del spark
    settings = settings_in(tmp_path)
    write_simulated(settings)
    chance = random.Random(1)
    kills = 0
    for _ in range(4):
        kills += killed(tmp_path, chance, {}, ON_SPARK, day_s=2.5)
        assert published(settings) in ({}, *clean[1])
    for day in DAYS:
        SparkEngine(settings).materialize(card_activity, day, unwatched)
    assert published(settings) == clean[1][-1]
    assert tiles(settings) == tiles(clean[0])
    assert kills, "no run was killed before it ended"


HOLDING = """
import sys, time
from pathlib import Path
from headrace_batch import materialize, tile_table
from datetime import date
from headrace_features.fraud.definitions import card_activity
from headrace_schemas.settings import load
update = tile_table.TileTable.update
def slow(*arguments):
    print("holds it", flush=True)
    sys.stdin.readline()
    return update(*arguments)
tile_table.TileTable.update = slow
home = Path(sys.argv[1])
settings = load(home, {"HEADRACE_HOME": str(home)})
materialize.materialize_view(settings, card_activity, date(2018, 5, 10), lambda done: None)
print("done", flush=True)
"""


@pytest.mark.parametrize("ends", ["by itself", "killed"])
def test_of_two_at_once_one_proceeds_and_the_other_says_who_does(ends: str, tmp_path: Path) -> None:
    settings = settings_in(tmp_path)
    write_simulated(settings)
    with subprocess.Popen(
        [sys.executable, "-c", HOLDING, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "holds it\n"
        with pytest.raises(RetryableError, match=f"being materialized by process {child.pid} on"):
            materialize_view(settings, card_activity, DAYS[-1], unwatched)
        if ends == "killed":
            child.kill()
            child.communicate()
        else:
            told, _ = child.communicate("go on\n")
            assert told == "done\n"
    # Nobody waits for the lease of a process that has ended.
    report = materialize_view(settings, card_activity, DAYS[-1], unwatched)
    assert report.anew == (ends == "killed")
    assert published(settings)
