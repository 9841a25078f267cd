"""Features that are read without threads are those that threads read."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator, Mapping
from datetime import UTC, date, datetime
from typing import Any

import feast
import pytest

from headrace_batch.materialize import materialize_view
from headrace_features.feast_plugin import repository
from headrace_features.fraud.definitions import card_activity, terminal_risk
from headrace_features.project import load_project
from headrace_schemas.errors import BadRecordError, RetryableError, UnsupportedError
from headrace_schemas.settings import Settings
from histories import bits
from lakes import settings_in, unwatched, write_simulated
from redis_servers import RedisCluster, RedisServer, redis_cluster, redis_server

LAST_DAY = date(2018, 5, 10)
Rows = list[dict[str, Any]]


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> tuple[Settings, Rows]:
    """Registered views, and the transactions of the last day."""
    settings = settings_in(tmp_path_factory.mktemp("home"))
    rows = write_simulated(settings)["transactions"]
    repository.apply(settings, load_project(settings))
    day_ms = round(datetime(2018, 5, 10, tzinfo=UTC).timestamp() * 1000)
    return settings, [row for row in rows if 0 <= row["event_time"] - day_ms < 86_400_000]


@pytest.fixture(scope="module")
def redis() -> Iterator[RedisServer]:
    with redis_server() as server:
        yield server


@pytest.fixture(scope="module")
def cluster() -> Iterator[RedisCluster]:
    with redis_cluster() as servers:
        yield servers


@pytest.fixture(params=["sqlite", "redis", "cluster"])
def store(request: pytest.FixtureRequest, lake: tuple[Settings, Rows]) -> feast.FeatureStore:
    """Feast's store over each kind of state, all with the same."""
    environ: Mapping[str, str] = {}
    if request.param != "sqlite":
        environ = request.getfixturevalue(request.param).environ()
    return materialized(lake[0], HEADRACE_ONLINE_TIMEOUT="5s", **environ)


def materialized(settings: Settings, **environ: str) -> feast.FeatureStore:
    chosen = settings_in(settings.home, **environ)
    for view in (card_activity, terminal_risk):
        materialize_view(chosen, view, LAST_DAY, unwatched)
    return repository.feature_store(chosen)


def asked(store: feast.FeatureStore, rows: Rows, name: str = "fraud") -> dict[str, Any]:
    """What is asked of Feast for a service as of each transaction."""
    brought = ("amount_minor", "latitude", "longitude") if name == "fraud_scoring" else ()
    entities = {
        **{column: [row[column] for row in rows] for column in brought},
        "card_id": [row["card_id"] for row in rows],
        "terminal_id": [row["terminal_id"] for row in rows],
        "as_of": [row["event_time"] for row in rows],
        "current_event": [row["transaction_id"] for row in rows],
        "freshness": [False] * len(rows),
    }
    service = store.get_feature_service(name)
    return {"features": service, "entity_rows": entities, "full_feature_names": True}


def in_bits(answer: Any) -> dict[str, list[object]]:
    return {name: [bits(v) for v in values] for name, values in answer.to_dict().items()}


async def read(store: feast.FeatureStore, asking: Mapping[str, Any]) -> dict[str, list[object]]:
    return in_bits(await store.get_online_features_async(**asking))


def test_many_tasks_at_once_read_what_one_thread_reads(
    store: feast.FeatureStore, lake: tuple[Settings, Rows]
) -> None:
    requests = [
        asked(store, lake[1][start : start + 3], name)
        for start in range(0, 60, 3)
        for name in ("fraud", "fraud_scoring")
    ]
    wanted = [in_bits(store.get_online_features(**request)) for request in requests]

    async def together() -> list[dict[str, list[object]]]:
        found = await asyncio.gather(*(read(store, request) for request in requests))
        await store.close()
        return found

    assert asyncio.run(together()) == wanted
    # Another loop begins with connections of its own.
    assert asyncio.run(together()) == wanted
    assert len({str(one) for one in wanted}) == len(requests)


def test_a_mistake_is_the_same_error(
    store: feast.FeatureStore, lake: tuple[Settings, Rows]
) -> None:
    request = asked(store, lake[1][:2])
    early = {**request["entity_rows"], "as_of": ["2018-01-01"] * 2}
    null = {**request["entity_rows"], "card_id": [None] * 2}

    async def attempts() -> None:
        with pytest.raises(UnsupportedError, match="features history"):
            await store.get_online_features_async(**{**request, "entity_rows": early})
        with pytest.raises(BadRecordError):
            await store.get_online_features_async(**{**request, "entity_rows": null})
        await store.close()

    asyncio.run(attempts())


def test_only_redis_is_said_to_be_read_without_threads(
    store: feast.FeatureStore, request: pytest.FixtureRequest, lake: tuple[Settings, Rows]
) -> None:
    asyncio.run(store.initialize())
    kind = request.node.callspec.params["store"]
    assert store.provider.async_supported.online.read is (kind != "sqlite")
    assert not store.provider.async_supported.online.write

    async def threads_of_a_read(service: str) -> int:
        before = threading.active_count()
        await read(store, asked(store, lake[1][:5], service))
        more = threading.active_count() - before
        await store.close()
        return more

    for service in ("fraud", "fraud_scoring"):
        assert (asyncio.run(threads_of_a_read(service)) > 0) is (kind == "sqlite")


def test_a_read_that_is_broken_off_leaves_no_answer_for_another(
    lake: tuple[Settings, Rows], redis: RedisServer
) -> None:
    store = materialized(
        lake[0], HEADRACE_ONLINE_TIMEOUT="20s", HEADRACE_ONLINE_POOL="2", **redis.environ()
    )
    requests = [asked(store, lake[1][start : start + 2]) for start in range(0, 40, 2)]
    wanted = [in_bits(store.get_online_features(**request)) for request in requests]

    async def broken_off() -> list[dict[str, list[object]]]:
        await read(store, requests[0])
        redis.pause()
        try:
            tasks = [asyncio.create_task(read(store, request)) for request in requests[:6]]
            await asyncio.sleep(0.3)
            for task in tasks:
                task.cancel()
            ended = await asyncio.gather(*tasks, return_exceptions=True)
            assert all(isinstance(one, asyncio.CancelledError) for one in ended)
        finally:
            redis.go_on()
        found = await asyncio.gather(*(read(store, request) for request in reversed(requests)))
        await store.close()
        return found[::-1]

    assert asyncio.run(broken_off()) == wanted


def test_redis_may_go_away_and_come_back(lake: tuple[Settings, Rows]) -> None:
    with redis_server(appendonly="yes", appendfsync="always") as redis:
        store = materialized(lake[0], **redis.environ())
        request = asked(store, lake[1][:5])
        wanted = in_bits(store.get_online_features(**request))

        async def over_a_restart() -> None:
            assert await read(store, request) == wanted
            redis.kill()
            with pytest.raises(RetryableError, match="does not answer"):
                await read(store, request)
            redis.start()
            assert await read(store, request) == wanted
            redis.pause()
            try:
                with pytest.raises(RetryableError, match="did not answer within 500 ms"):
                    await read(store, request)
            finally:
                redis.go_on()
            assert await read(store, request) == wanted
            await store.close()

        asyncio.run(over_a_restart())
