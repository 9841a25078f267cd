"""Day after day into the batch layer on Spark: the tiles, fields and account of in-process."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import date, timedelta
from functools import partial
from pathlib import Path

import pytest
from pyspark.sql import SparkSession

from headrace_batch import layer_spark, tiles_spark
from headrace_batch.days import begins_ms
from headrace_batch.layer_writer import Filled, Layer, LayerWriter
from headrace_batch.local_engine import LocalEngine
from headrace_batch.materialize import materialize_view
from headrace_batch.materialize_spark import OnSpark, require_local
from headrace_batch.spark_engine import SparkEngine
from headrace_batch.tile_table import TileTable
from headrace_features import (
    Count,
    Distinct,
    FeatureView,
    Session,
    Unbounded,
)
from headrace_features.engines import Engine, Missed
from headrace_features.fraud.definitions import card, card_activity, transactions
from headrace_features.leases import Claim
from headrace_features.online.layers import ALWAYS_MS
from headrace_features.online.served import entity_key, view_key
from headrace_features.online.stores import open_store
from headrace_schemas.errors import ConfigurationError, RetryableError
from lakes import unwatched
from late_lakes import (
    DAYS,
    SELDOM,
    VIEWS,
    Lake,
    account_of,
    fields_of,
    keys_of,
    tables,
    tile_files,
    tiles_of,
)
from redis_servers import RedisServer, redis_server

pytestmark = pytest.mark.usefixtures("small_parts")


@pytest.fixture
def small_parts(spark: SparkSession, monkeypatch: pytest.MonkeyPatch) -> None:
    """Few events are enough for several partitions."""
    del spark
    monkeypatch.setattr(tiles_spark, "_LEAST_ROWS", 30)
    monkeypatch.setattr(layer_spark, "_PARTITION_ROWS", 700)


@pytest.fixture(scope="module")
def redis() -> Iterator[RedisServer]:
    with redis_server(password="not-to-be-told") as server:  # noqa: S106 - of a test
        yield server


def require_the_same(one: Lake, other: Lake, view: FeatureView) -> None:
    """See that two lakes have the same tiles, fields and account."""
    keys = keys_of(one, view)
    expected = fields_of(one.settings, view, keys)
    assert expected
    assert fields_of(other.settings, view, keys) == expected
    assert tiles_of(other.settings, view) == tiles_of(one.settings, view)
    assert account_of(other.settings, view) == account_of(one.settings, view)


def require_the_same_day_by_day(
    home: Path,
    view: FeatureView,
    days: Sequence[date],
    engine: Callable[[Lake, int], Engine],
    **environ: str,
) -> None:
    """Materialize one lake in-process and another by the engine of each day; compare them."""
    local, other = Lake(home / "local", 1), Lake(home / "other", 1, 0.1, **environ)
    for number, day in enumerate(days):
        for lake in (local, other):
            lake.until(day)
        expected = LocalEngine(local.settings).materialize(view, day, unwatched)
        report = engine(other, number).materialize(view, day, unwatched)
        told = ("boundary", "anew", "entities", "events", "tiled", "fields")
        assert [getattr(report, n) for n in told] == [getattr(expected, n) for n in told]
        require_the_same(local, other, view)
    assert account_of(local.settings, view), "no value was ever off"


@pytest.mark.parametrize("name", VIEWS)
def test_each_day_has_what_in_process_makes_of_it_though_events_come_days_too_late(
    name: str, tmp_path: Path
) -> None:
    require_the_same_day_by_day(
        tmp_path, VIEWS[name], DAYS[:6:2], lambda lake, _: SparkEngine(lake.settings)
    )


@pytest.mark.parametrize("name", VIEWS)
def test_engines_follow_each_other_on_the_same_tiles_and_store(
    name: str, tmp_path: Path, redis: RedisServer
) -> None:
    environ = {**redis.environ(), "HEADRACE_PROJECT_NAME": name, "HEADRACE_ONLINE_TIMEOUT": "5s"}
    require_the_same_day_by_day(
        tmp_path,
        VIEWS[name],
        DAYS[:8:2],
        lambda lake, number: (SparkEngine if number % 2 else LocalEngine)(lake.settings),
        **environ,
    )


def test_only_entities_with_new_events_are_written_and_only_their_tiles(tmp_path: Path) -> None:
    lake = Lake(tmp_path, seed=3, late=0.0)
    lake.until(DAYS[0])
    engine = SparkEngine(lake.settings)
    engine.materialize(card_activity, DAYS[0], unwatched)
    before, files = (
        fields_of(lake.settings, card_activity, keys_of(lake, card_activity)),
        tile_files(lake.settings, card_activity),
    )
    count = len(lake.rows["transactions"])
    lake.until(DAYS[1])
    came = lake.rows["transactions"][count:]
    report = engine.materialize(card_activity, DAYS[1], unwatched)
    active = {row["card_id"] for row in came}
    assert (report.entities, report.events, report.tiled) == (len(active), len(came), len(came))
    after = fields_of(lake.settings, card_activity, keys_of(lake, card_activity))
    changed = {at for at in before.keys() | after.keys() if before.get(at) != after.get(at)}
    assert {entity.decode() for entity, _ in changed} == active
    assert report.fields == len(changed)
    assert files < tile_files(lake.settings, card_activity)
    again = engine.materialize(card_activity, DAYS[1], unwatched)
    assert (again.entities, again.events, again.tiled, again.anew) == (0, 0, 0, False)
    assert fields_of(lake.settings, card_activity, keys_of(lake, card_activity)) == after


def test_what_no_window_reaches_any_more_leaves_the_store(tmp_path: Path) -> None:
    lake = Lake(tmp_path, seed=5, late=0.0)
    terminals = [
        (str(row["terminal_id"]).encode(), row["event_time"])
        for row in tables()["transactions"].to_pylist()
    ]
    left = set()
    for day in (DAYS[0], DAYS[5]):
        lake.until(day)
        SparkEngine(lake.settings).materialize(SELDOM, day, unwatched)
        # The window, and how far back can be asked.
        end_ms, since_ms = begins_ms(day + timedelta(1)), begins_ms(day - timedelta(7))
        lately = {terminal for terminal, at_ms in terminals if since_ms <= at_ms < end_ms}
        left |= {terminal for terminal, at_ms in terminals if at_ms < since_ms} - lately
        found = fields_of(lake.settings, SELDOM, keys_of(lake, SELDOM))
        assert {entity for entity, _ in found} == lately
    assert left


def test_entities_whose_state_can_t_take_late_events_in_are_built_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    visits = FeatureView(
        name="visits",
        version=1,
        entity=card,
        source=transactions,
        aggregates=[
            Count(windows=[Session("1h"), Unbounded()]),
            Distinct("country", windows=[Session("6h")]),
        ],
    )
    lost: list[int] = []
    monkeypatch.setattr(LayerWriter, "rebuild", counted(LayerWriter.rebuild, lost))
    local, other = (Lake(tmp_path / name, seed=6, late=0.3) for name in ("local", "other"))
    for day in (DAYS[0], DAYS[9]):
        for lake, engine in ((local, LocalEngine), (other, SparkEngine)):
            lake.until(day)
            engine(lake.settings).materialize(visits, day, unwatched)
        require_the_same(local, other, visits)
    assert lost, "no entity was lost"


def counted(rebuild: Callable[..., None], calls: list[int]) -> Callable[..., None]:
    """The same, which notes that it was called in this process."""

    def told(*arguments: object) -> None:
        calls.append(1)
        rebuild(*arguments)

    return told


class Twice(OnSpark):
    """Does all that workers do a second time, as after attempts of which nobody heard."""

    def fill(self, layer: Layer, tiles: TileTable, advance: Callable[[int], None]) -> Filled:
        super().fill(layer, tiles, advance)
        if layer.healing is not None:
            layer.healing.off.clear()
        return super().fill(layer, tiles, advance)


def test_what_workers_have_written_may_be_written_again(tmp_path: Path) -> None:
    local, other = (Lake(tmp_path / name, seed=7) for name in ("local", "other"))
    for day in DAYS[:2]:
        for lake in (local, other):
            lake.until(day)
        materialize_view(local.settings, card_activity, day, unwatched)
        twice = Twice(other.settings)
        materialize_view(other.settings, card_activity, day, unwatched, maker=twice)
        require_the_same(local, other, card_activity)


def test_what_the_stream_has_missed_is_accounted_for_by_workers(tmp_path: Path) -> None:
    accounts = []
    for name, engine in (("local", LocalEngine), ("other", SparkEngine)):
        lake = Lake(tmp_path / name, seed=9, late=0.0)
        open_store(lake.settings).covers(view_key(card_activity), 1, ALWAYS_MS)
        for day in DAYS[:3]:
            lake.until(day)
            # Of the newest day the stream may know more: the layer ends before it.
            earlier_ms = begins_ms(day - timedelta(1))
            came = {
                entity_key(row["card_id"]): Missed.of([(row["event_time"], row["event_time"])])
                for row in lake.rows["transactions"]
                if earlier_ms <= row["event_time"] < begins_ms(day)
            }
            some = dict(sorted(came.items())[:10])
            engine(lake.settings).materialize(
                card_activity, day, unwatched, streamed=True, missed=partial(given, some)
            )
        accounts.append(account_of(lake.settings, card_activity))
    assert accounts[0] == accounts[1]
    assert accounts[0], "no value was off"


def given(some: Mapping[bytes, Missed], since_ms: int) -> Mapping[bytes, Missed]:
    """Some of the events that a state lacks, whenever they were."""
    del since_ms
    return some


def test_a_worker_s_mistake_is_one_line(tmp_path: Path) -> None:
    lake = Lake(tmp_path, seed=8)
    lake.until(DAYS[0])
    engine = SparkEngine(lake.settings)
    engine.materialize(card_activity, DAYS[0], unwatched)
    lake.until(DAYS[1])

    class Overtaken(OnSpark):
        """Works on when somebody else has begun."""

        def fill(self, layer: Layer, tiles: TileTable, advance: Callable[[int], None]) -> Filled:
            generation = layer.generation
            later = Claim("another process", 1 << 50, 1 << 50)
            layer.store.begin(generation.view, generation.boundary_ms, later)
            return super().fill(layer, tiles, advance)

    with pytest.raises(
        RetryableError, match=r"^another materialization of card_activity has"
    ) as told:
        materialize_view(
            lake.settings, card_activity, DAYS[1], unwatched, maker=Overtaken(lake.settings)
        )
    assert "\n" not in str(told.value)


def test_a_store_that_is_a_file_is_refused_where_workers_are_on_other_machines() -> None:
    require_local("local[4]", "/home/online.db")
    with pytest.raises(ConfigurationError, match=r"online.db is a file .* type to redis"):
        require_local("spark://master:7077", "/home/online.db")
