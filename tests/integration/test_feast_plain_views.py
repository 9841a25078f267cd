"""Plain Feast views in a project of ours are what they are in a repository of Feast's own.

Each question is asked of both, and the whole answer compared, as messages.
"""

from __future__ import annotations

import asyncio
import time
import warnings
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import feast
import numpy as np
import pandas as pd
import pytest
from feast.on_demand_feature_view import on_demand_feature_view
from feast.protos.feast.types.Value_pb2 import Value as Message
from feast.repo_config import RepoConfig
from feast.types import (
    Array,
    Bool,
    Bytes,
    Decimal,
    Float32,
    Float64,
    Int32,
    Int64,
    Json,
    Map,
    Set,
    String,
    UnixTimestamp,
    Uuid,
)

from headrace_features.feast_plugin import repository
from headrace_features.project import load_project
from headrace_schemas.errors import BadRecordError, ConfigurationError, RetryableError
from lakes import settings_in
from redis_servers import RedisServer, certificates, redis_cluster, redis_server
from servers import headrace_server

LONG_AGO = datetime(2021, 5, 1, 12, 30, tzinfo=UTC)
#: A value of each type that Feast's own stores take.
VALUES: dict[str, tuple[Any, Any]] = {
    "int32": (Int32, -(2**31)),
    "int64": (Int64, 2**63 - 1),
    "float32": (Float32, 0.5),
    "float64": (Float64, -0.0),
    "nan": (Float64, float("nan")),
    "text": (String, "ß"),
    "empty": (String, ""),
    "bytes": (Bytes, b"\x00\xff"),
    "bool": (Bool, False),
    "time": (UnixTimestamp, LONG_AGO),
    "int32s": (Array(Int32), [1, -2]),
    "int64s": (Array(Int64), [1, -(2**63)]),
    "float32s": (Array(Float32), [0.5]),
    "float64s": (Array(Float64), [0.1, -0.0]),
    "texts": (Array(String), ["a", ""]),
    "many_bytes": (Array(Bytes), [b"x", b""]),
    "bools": (Array(Bool), [True, False]),
    "times": (Array(UnixTimestamp), [LONG_AGO]),
    "map": (Map, {"a": 1}),
    "json": (Json, '{"a": [1]}'),
    "set": (Set(Int64), {3, 1}),
    "uuid": (Uuid, "6f1c5f2e-7a0e-4b8e-9f8d-2b7f1f1f1f1f"),
    "decimal": (Decimal, "1.50"),
}
AROUND = (LONG_AGO - timedelta(days=1), LONG_AGO + timedelta(days=1))
EVERYTHING = [f"everything:{name}" for name in VALUES]
STOCK: dict[str, Any] = {
    "features": ["stock:left"],
    "entity_rows": [{"item_id": "item-1", "shelf_id": 1}],
}
#: On a machine with two cores and many tests half a second isn't much.
PATIENT = {"HEADRACE_ONLINE_TIMEOUT": "5s"}


@dataclass(frozen=True)
class Both:
    """A project of ours with plain views, and a repository of Feast's own with the same."""

    ours: feast.FeatureStore
    feasts: feast.FeatureStore

    def each(self) -> tuple[feast.FeatureStore, feast.FeatureStore]:
        return self.ours, self.feasts

    def same(self, features: Any, rows: Any, **how: Any) -> dict[str, list[Any]]:
        """The values that both give; all else of the answers is the same too."""
        ours, feasts = (
            store.get_online_features(
                features=store.get_feature_service(features)
                if isinstance(features, str)
                else features,
                entity_rows=rows,
                **how,
            )
            for store in self.each()
        )
        assert columns(ours) == columns(feasts)
        told = [
            sorted(str(v) for v in r.proto.metadata.feature_view_metadata) for r in (ours, feasts)
        ]
        assert told[0] == told[1]
        return ours.to_dict()


def columns(response: Any) -> dict[str, bytes]:
    """All of a response by the name of the column: Feast has them in the order of a set."""
    names = response.proto.metadata.feature_names.val
    return {
        name: vector.SerializeToString()
        for name, vector in zip(names, response.proto.results, strict=True)
    }


def versions(response: Any) -> dict[str, int]:
    return {one.name: one.version for one in response.proto.metadata.feature_view_metadata}


@pytest.fixture(scope="module")
def redis() -> Iterator[RedisServer]:
    with redis_server() as server:
        yield server


@pytest.fixture(scope="module", params=["sqlite", "redis"])
def both(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Both:
    """Both, with the same rows."""
    home = tmp_path_factory.mktemp("home")
    environ, online = {}, {"type": "sqlite", "path": str(home / "feast.db")}
    if request.param == "redis":
        redis = request.getfixturevalue("redis")
        environ = redis.environ()
        online = {"type": "redis", "connection_string": f"127.0.0.1:{redis.port},db=1"}
    settings = settings_in(home, **environ)
    repository.apply(settings, load_project(settings))
    with warnings.catch_warnings():
        # Feast warns of its own defaults.
        warnings.simplefilter("ignore")
        config = RepoConfig(
            project=settings.project.name,
            provider="local",
            registry=str(home / "feast_registry.db"),
            online_store=online,
            entity_key_serialization_version=3,
            repo_path=home,
        )
        found = Both(repository.feature_store(settings), feast.FeatureStore(config=config))
    for store in found.each():
        with_views(store, home)
        with_rows(store)
    return found


def with_views(store: feast.FeatureStore, home: Path) -> None:
    """Views of one entity, of two and of none, with a ttl, and what is made of them."""
    item = feast.Entity(name="item", join_keys=["item_id"], value_type=feast.ValueType.STRING)
    shelf = feast.Entity(name="shelf", join_keys=["shelf_id"], value_type=feast.ValueType.INT64)
    odd = feast.Entity(name="odd", join_keys=["as_of"], value_type=feast.ValueType.STRING)
    keys = {"item": ("item_id", String), "shelf": ("shelf_id", Int64), "odd": ("as_of", String)}

    def plain(
        name: str, entities: list[feast.Entity], kinds: dict[str, Any], ttl: timedelta
    ) -> feast.FeatureView:
        fields = [keys[entity.name] for entity in entities] + list(kinds.items())
        table = home / f"{name}.parquet"
        if not table.exists():
            frame_of(name, 31).to_parquet(table)
        return feast.FeatureView(
            name=name,
            entities=entities,
            schema=[feast.Field(name=field, dtype=kind) for field, kind in fields],
            source=feast.PushSource(
                name=f"{name}_push",
                batch_source=feast.FileSource(
                    name=name, path=str(table), timestamp_field="event_timestamp"
                ),
            ),
            ttl=ttl,
        )

    kinds = {name: kind for name, (kind, _) in VALUES.items()}
    everything = plain("everything", [item], kinds, timedelta(0))
    stock = plain("stock", [item, shelf], {"left": Int64}, timedelta(hours=1))
    open_now = plain("open_now", [], {"is_open": Bool}, timedelta(0))
    oddly = plain("oddly", [odd], {"price": Int64}, timedelta(0))
    request = feast.RequestSource(name="asked", schema=[feast.Field(name="freshness", dtype=Int64)])

    def wanted(given: dict[str, Any]) -> dict[str, Any]:
        left = [0 if one is None else one for one in given["left"]]
        return {
            "wanted": [asked - one for asked, one in zip(given["freshness"], left, strict=True)]
        }

    transformed = on_demand_feature_view(
        sources=[stock, request], schema=[feast.Field(name="wanted", dtype=Int64)], mode="python"
    )(wanted)
    service = feast.FeatureService(
        name="shop",
        features=[
            everything[["text", "int64s"]].with_name("left_one"),
            everything[["text"]]
            .with_name("right_one")
            .with_join_key_map({"item_id": "other_item_id"}),
            stock,
        ],
    )
    with pytest.warns(RuntimeWarning, match="On demand feature view"):
        store.apply([item, shelf, odd, everything, stock, open_now, oddly, transformed, service])


def frame_of(view: str, number: int) -> pd.DataFrame:
    """A row to write for a view."""
    rows: dict[str, dict[str, Any]] = {
        "everything": {
            "item_id": f"item-{number}",
            **{name: value for name, (_, value) in VALUES.items()},
        },
        "stock": {"item_id": f"item-{number}", "shelf_id": number, "left": 5},
        "open_now": {"is_open": True},
        "oddly": {"as_of": "soon", "price": 7},
    }
    if view == "everything" and number == 2:
        rows[view] |= dict.fromkeys(set(VALUES) - {"int64"})
    return pd.DataFrame([{**rows[view], "event_timestamp": LONG_AGO}])


def with_rows(store: feast.FeatureStore) -> None:
    for view, numbers in (("everything", (1, 2)), ("stock", (1, 2)), ("oddly", (1,))):
        for number in numbers:
            store.push(f"{view}_push", frame_of(view, number))
    # Where there is no entity Feast takes rows from a table alone.
    store.materialize(*AROUND, ["open_now"])


def test_values_of_every_type_come_back_as_they_were_pushed(both: Both) -> None:
    rows = [{"item_id": name} for name in ("item-1", "item-2", "nothing", "item-1")]
    found = both.same(EVERYTHING, rows)
    for name, (kind, value) in VALUES.items():
        if kind in {Int32, Int64, Float32, Float64, String, Bytes, Bool} and name != "nan":
            first, nulls, unknown, again = found[name]
            assert (repr(first), unknown, repr(again)) == (repr(value), None, repr(value))
            assert name == "int64" or nulls is None
    full = both.same(EVERYTHING, rows, full_feature_names=True)
    assert set(full) == {"item_id", *(name.replace(":", "__") for name in EVERYTHING)}
    both.same(EVERYTHING, rows, include_feature_view_version_metadata=True)


def test_rows_older_than_the_ttl_repeated_rows_and_two_keys_are_read_as_by_feast(
    both: Both,
) -> None:
    rows = {
        "shelf_id": [1, "2", np.int64(1), 1],
        "item_id": ["item-1", "item-2", "item-1", "item-2"],
    }
    assert both.same(["stock:left"], rows)["left"] == [5, 5, 5, None]
    messages = {"item_id": [Message(string_val="item-1")], "shelf_id": [Message(int64_val=1)]}
    assert both.same(["stock:left"], messages)["left"] == [5]


def test_views_without_an_entity_and_those_of_a_service_are_read_as_by_feast(both: Both) -> None:
    assert both.same(["open_now:is_open"], [{"anything": 1}] * 2)["is_open"] == [True, True]
    rows = [{"item_id": "item-1", "other_item_id": "item-2", "shelf_id": 1}] * 2
    found = both.same("shop", rows, full_feature_names=True)
    assert found["left_one__text"] == ["ß", "ß"]
    assert found["right_one__text"] == [None, None]


def test_what_feast_transforms_is_transformed_as_by_feast(both: Both) -> None:
    rows = [
        {"item_id": "item-1", "shelf_id": 1, "freshness": 9},
        {"item_id": "x", "shelf_id": 1, "freshness": 2},
    ]
    assert both.same(["wanted:wanted", "stock:left"], rows) == {
        "item_id": ["item-1", "x"],
        "shelf_id": [1, 1],
        "left": [5, None],
        "wanted": [4, 2],
    }


def test_a_plain_view_may_have_a_key_that_means_something_else_to_ours(both: Both) -> None:
    rows = [{"as_of": "soon"}, {"as_of": "later"}]
    assert both.same(["oddly:price"], rows) == {"as_of": ["soon", "later"], "price": [7, None]}
    both.same(["everything:text", "oddly:price"], [{"item_id": "item-1", "as_of": "soon"}])


@pytest.mark.parametrize(
    ("features", "rows"),
    [
        (["nothing:text"], [{"item_id": "item-1"}]),
        (["everything:nothing"], [{"item_id": "item-1"}]),
        (["everything:text", "everything:text"], [{"item_id": "item-1"}]),
        (["everything"], [{"item_id": "item-1"}]),
        ([], [{"item_id": "item-1"}]),
        (["everything:text"], [{"other": "item-1"}]),
        (["everything:text"], [{"item_id": None}]),
        (["stock:left"], [{"item_id": "item-1", "shelf_id": "first"}]),
        (["wanted:wanted"], [{"item_id": "item-1", "shelf_id": 1}]),
    ],
)
def test_a_mistake_is_feasts_own_error(both: Both, features: list[str], rows: Any) -> None:
    errors = []
    for store in both.each():
        with pytest.raises(Exception, match=r"\w") as caught:
            store.get_online_features(features=features, entity_rows=rows)
        # Feast then names the keys of all entities, of which ours are some.
        told = str(caught.value).partition("Missing join key values")
        errors.append((type(caught.value), *told[:2]))
    assert errors[0] == errors[1]


@pytest.mark.parametrize("rows", [[], {"item_id": []}, {"item_id": ["a"], "shelf_id": []}])
def test_rows_that_are_none_are_an_error_that_says_so(both: Both, rows: Any) -> None:
    with pytest.raises(BadRecordError, match="at least one row"):
        both.ours.get_online_features(features=["stock:left"], entity_rows=rows)
    with pytest.raises((IndexError, KeyError, ValueError)):
        both.feasts.get_online_features(features=["stock:left"], entity_rows=rows)


def test_rows_are_pushed_and_read_without_waiting_in_any_event_loop(both: Both) -> None:
    async def pushed_and_read(number: int) -> list[Any]:
        frame = frame_of("stock", number)
        await both.ours.push_async("stock_push", frame)
        await both.ours.write_to_online_store_async("everything", frame_of("everything", number))
        answer = await both.ours.get_online_features_async(
            features=["stock:left", "everything:text"],
            entity_rows=[{"item_id": f"item-{number}", "shelf_id": number}],
        )
        await both.ours.close()
        return [*answer.to_dict()["left"], *answer.to_dict()["text"]]

    for number in (11, 12):
        assert asyncio.run(pushed_and_read(number)) == [5, "ß"]
    for number in (11, 12):
        both.feasts.push("stock_push", frame_of("stock", number))
    rows = [{"item_id": f"item-{number}", "shelf_id": number} for number in (11, 12, 13)]
    assert both.same(["stock:left"], rows)["left"] == [5, 5, None]


def test_plain_views_are_materialized_by_name_as_by_feast(both: Both) -> None:
    row = {"item_id": "item-31", "shelf_id": 31}
    assert both.same(["stock:left"], [row])["left"] == [None]
    for store in both.each():
        store.materialize(*AROUND, ["stock"])
    assert both.same(["stock:left"], [row])["left"] == [5]
    told = [store.get_feature_view("stock").materialization_intervals for store in both.each()]
    assert told[0] == told[1] == [AROUND]


def test_what_is_no_longer_registered_is_dropped_and_made_anew_as_by_feast(both: Both) -> None:
    for store in both.each():
        view = store.get_feature_view("oddly")
        store.apply([], objects_to_delete=[view], partial=False)
        with pytest.raises(feast.errors.FeatureViewNotFoundException):
            store.get_online_features(features=["oddly:price"], entity_rows=[{"as_of": "soon"}])
        store.apply([view])
    both.same(["oddly:price"], [{"as_of": "soon"}])
    for store in both.each():
        store.push("oddly_push", frame_of("oddly", 1))
    assert both.same(["oddly:price"], [{"as_of": "soon"}])["price"] == [7]


def registered(home: Path, **environ: str) -> feast.FeatureStore:
    """A project of ours with the same views, and no rows."""
    settings = settings_in(home, **environ)
    repository.apply(settings, load_project(settings))
    store = repository.feature_store(settings)
    with_views(store, home)
    return store


def left(store: feast.FeatureStore) -> Any:
    return store.get_online_features(**STOCK).to_dict()["left"]


def test_a_redis_that_does_not_answer_is_waited_for_as_long_as_the_settings_say(
    tmp_path: Path,
) -> None:
    with redis_server(appendonly="yes", appendfsync="always") as redis:
        store = registered(tmp_path, HEADRACE_ONLINE_TIMEOUT="1s", **redis.environ())
        with_rows(store)

        async def read_in_a_loop() -> Any:
            found = await store.get_online_features_async(**STOCK)
            await store.close()
            return found.to_dict()["left"]

        redis.pause()
        try:
            started = time.monotonic()
            with pytest.raises(RetryableError, match="did not answer within 1000 ms"):
                left(store)
            with pytest.raises(RetryableError, match="did not answer within 1000 ms"):
                asyncio.run(read_in_a_loop())
            with pytest.raises(RetryableError, match="did not answer within 1000 ms"):
                store.push("stock_push", frame_of("stock", 1))
            assert time.monotonic() - started < 8
        finally:
            redis.go_on()
        assert left(store) == asyncio.run(read_in_a_loop()) == [5]
        redis.kill()
        with pytest.raises(RetryableError, match="Connection refused"):
            left(store)
        redis.start()
        assert left(store) == [5]


def test_a_server_says_that_plain_views_can_not_be_read_now(tmp_path: Path) -> None:
    body = {"features": STOCK["features"], "entities": {"item_id": ["item-1"], "shelf_id": [1]}}
    with redis_server() as redis:
        with_rows(registered(tmp_path, **PATIENT, **redis.environ()))
        with headrace_server(tmp_path, **redis.environ()) as server:
            assert server.ask("/get-online-features", body).columns["left"] == [5]
            redis.pause()
            try:
                answer = server.ask("/get-online-features", body)
                assert (answer.status, answer.headers["retry-after"]) == (503, "1")
                assert "did not answer within 500 ms" in answer.detail
            finally:
                redis.go_on()
            assert server.ask("/get-online-features", body).columns["left"] == [5]


def test_a_user_and_a_password_are_those_of_the_settings_to_the_letter(tmp_path: Path) -> None:
    with redis_server() as redis:
        with redis.client() as client:
            client.acl_setuser(
                "1e5", enabled=True, passwords=["+a,db=3"], categories=["+@all"], keys=["*"]
            )
            client.acl_setuser("default", enabled=False)
        environ = redis.environ()
        named = '{"username": "1e5", "password": "a,db=3"}'
        store = registered(tmp_path, **PATIENT, **environ, HEADRACE_ONLINE_REDIS_OPTIONS=named)
        with_rows(store)
        assert left(store) == [5]
        wrong = '{"username": "1e5", "password": "a"}'
        other = settings_in(tmp_path, **PATIENT, **environ, HEADRACE_ONLINE_REDIS_OPTIONS=wrong)
        with pytest.raises(ConfigurationError, match="lets nobody in so"):
            left(repository.feature_store(other))


def test_plain_views_are_not_read_from_a_server_with_another_s_certificate(
    tmp_path: Path,
) -> None:
    files = certificates(tmp_path / "certificates", "DNS:elsewhere.example")
    with redis_server(certificates=files) as redis:
        store = registered(tmp_path, **PATIENT, **redis.environ())
        with pytest.raises(ConfigurationError, match="certificate is not valid for"):
            left(store)
        with pytest.raises(ConfigurationError, match="certificate is not valid for"):
            store.push("stock_push", frame_of("stock", 1))
    with redis_server(certificates=certificates(tmp_path / "certificates")) as redis:
        store = repository.feature_store(settings_in(tmp_path, **PATIENT, **redis.environ()))
        with_rows(store)
        assert left(store) == [5]


def test_plain_views_are_looked_for_at_the_address_of_ipv6_that_the_settings_name(
    tmp_path: Path,
) -> None:
    nobody = {"HEADRACE_ONLINE_TYPE": "redis", "HEADRACE_ONLINE_REDIS_URL": "redis://[::1]:1/2"}
    store = registered(tmp_path, **nobody)
    with pytest.raises(RetryableError, match=r"Redis at redis://\[::1\]:1/2 does not answer"):
        left(store)


def test_plain_views_have_no_connections_beside_those_that_the_settings_allow(
    tmp_path: Path,
) -> None:
    with redis_server() as redis:
        store = registered(tmp_path, **PATIENT, **redis.environ(), HEADRACE_ONLINE_POOL="2")
        with_rows(store)
        features = [*STOCK["features"], "card_activity:amount_minor_mean_1d"]
        rows = [{**STOCK["entity_rows"][0], "card_id": "1"}]
        with redis.client() as client, ThreadPoolExecutor(8) as threads:

            def read(_: int) -> Any:
                store.get_online_features(features=features, entity_rows=rows)
                return left(store)

            assert list(threads.map(read, range(40))) == [[5]] * 40
            # The one that looks is another.
            assert len(client.client_list()) <= 3


def test_plain_views_are_kept_in_a_cluster_and_dropped_from_all_of_it(tmp_path: Path) -> None:
    with redis_cluster(password="a,b") as cluster:  # noqa: S106 - of this test's servers
        store = registered(tmp_path, **PATIENT, **cluster.environ())
        with_rows(store)
        for number in range(20):
            store.push("oddly_push", frame_of("oddly", 1).assign(as_of=f"day {number}"))
        rows = [{"as_of": f"day {number}"} for number in range(20)]
        asked: dict[str, Any] = {"features": ["oddly:price"], "entity_rows": rows}
        assert store.get_online_features(**asked).to_dict()["price"] == [7] * 20
        view = store.get_feature_view("oddly")
        store.apply([], objects_to_delete=[view], partial=False)
        store.apply([view])
        assert store.get_online_features(**asked).to_dict()["price"] == [None] * 20
        assert left(store) == [5]
        store.teardown()  # type: ignore[no-untyped-call]
        kept = []
        for node in cluster.nodes:
            with node.client() as client:
                kept += client.keys()
        # Feast itself leaves what belongs to no entity.
        assert all(b"__dummy_id" in key for key in kept), kept
