"""A Redis that may drop entities, which would read as ones without events, is not used."""

from __future__ import annotations

import asyncio
from contextlib import closing

import pytest
import redis

from headrace_features.online.layers import NO_LAYERS
from headrace_features.online.redis_connection import RedisConnection
from headrace_features.online.redis_store import RedisStateStore
from headrace_features.online.store import Wanted
from headrace_schemas.errors import RetryableError
from online_stores import apply, change, layers_of
from redis_servers import RedisServer, redis_cluster, redis_server

KNOWN = {"view": NO_LAYERS}
#: In all parts of a cluster.
ENTITIES = [b"%d" % number for number in range(50)]


@pytest.mark.parametrize("policy", ["allkeys-lru", "allkeys-random"])
def test_readers_and_writers_refuse_a_redis_that_drops_what_is_not_used(policy: str) -> None:
    with (
        redis_server(maxmemory="64mb", maxmemory_policy=policy) as server,
        closing(RedisConnection(server.access())) as connection,
    ):
        store = RedisStateStore(connection, "p")

        async def read() -> None:
            try:
                await store.read_async(KNOWN, ())
            finally:
                await store.aclose()

        for refused in (
            lambda: store.read(KNOWN, ()),
            lambda: store.begin("view", 1),
            store.progress,
            lambda: asyncio.run(read()),
        ):
            with pytest.raises(RetryableError, match=f"maxmemory-policy is {policy}") as told:
                refused()
            assert "noeviction" in str(told.value)


def test_each_node_of_a_cluster_is_asked_by_threads_and_tasks() -> None:
    with (
        redis_cluster() as cluster,
        closing(RedisConnection(cluster.access())) as connection,
    ):
        store = RedisStateStore(connection, "p")

        async def read() -> None:
            try:
                await store.read_async(KNOWN, ())
                await store.read_async(KNOWN, [Wanted("view", ENTITIES, None)])
            finally:
                await store.aclose()

        asyncio.run(read())
        # One that evicts is enough.
        for name, value in (("maxmemory", "64mb"), ("maxmemory-policy", "allkeys-lru")):
            cluster.nodes[-1].cli("config", "set", name, value)
        with pytest.raises(RetryableError, match="maxmemory-policy is allkeys-lru"):
            asyncio.run(read())
        connection.close()
        with pytest.raises(RetryableError, match="maxmemory-policy is allkeys-lru"):
            store.read(KNOWN, [Wanted("view", ENTITIES, None)])


@pytest.mark.parametrize("nodes", [1, 3])
def test_a_store_that_was_set_to_drop_keys_has_not_caught_up_any_more(nodes: int) -> None:
    with (
        redis_server() if nodes == 1 else redis_cluster() as server,
        closing(RedisConnection(server.access())) as connection,
    ):
        store = RedisStateStore(connection, "p")
        store.covers("view", 1, 0)
        store.caught_up({"view": 1}, 5)
        last = server if isinstance(server, RedisServer) else server.nodes[-1]
        for name, value in (("maxmemory", "64mb"), ("maxmemory-policy", "allkeys-lru")):
            last.cli("config", "set", name, value)
        with pytest.raises(RetryableError, match="maxmemory-policy is allkeys-lru"):
            store.caught_up({"view": 1}, 7)
        span = layers_of(store, "view").stream
        assert span is not None
        assert span.current_ms == 5
        last.cli("config", "set", "maxmemory-policy", "noeviction")
        store.caught_up({"view": 1}, 9)


def test_a_node_that_comes_back_empty_leaves_nothing_complete() -> None:
    with redis_cluster() as cluster, closing(RedisConnection(cluster.access())) as connection:
        store = RedisStateStore(connection, "p")
        store.covers("view", 1, 0)
        for time_ms in (5, 7):
            store.caught_up({"view": 1}, time_ms)
        apply(store, *(change("r1", 1, n, b"x", entity=str(n)) for n in range(60)))
        there = [layers_of(store, "view").stream is not None]
        for node in cluster.nodes:
            node.kill()
            node.start()
            cluster.wait()
            with pytest.raises(
                RetryableError, match=r"a part of the Redis cluster .* online rebuild"
            ):
                store.caught_up({"view": 1}, 9)
            span = layers_of(store, "view").stream
            there.append(span is not None)
            assert span is None or span.current_ms == 0
            store.remove()
            store.covers("view", 1, 0)
            store.caught_up({"view": 1}, 9)
        # One of them had what is known of the view.
        assert there.count(False) == 1


def test_once_keys_were_dropped_a_store_is_never_complete_again_before_it_is_made_anew() -> None:
    with redis_server() as server, closing(RedisConnection(server.access())) as connection:
        store = RedisStateStore(connection, "p")
        store.covers("view", 1, 0)
        store.caught_up({"view": 1}, 5)
        apply(store, *(change("r1", 1, n, b"x" * 10_000, entity=str(n)) for n in range(300)))
        server.cli("config", "set", "maxmemory-policy", "allkeys-random")
        server.cli("config", "set", "maxmemory", "3mb")
        apply(store, *(change("r1", 1, n, b"x" * 10_000, entity=str(n)) for n in range(300, 400)))
        with pytest.raises(RetryableError, match="maxmemory-policy is allkeys-random"):
            store.caught_up({"view": 1}, 7)
        server.cli("config", "set", "maxmemory-policy", "noeviction")
        server.cli("config", "set", "maxmemory", "0")
        with pytest.raises(RetryableError, match=r"has dropped keys .*allkeys-random.*rebuild"):
            store.caught_up({"view": 1}, 7)
        span = layers_of(store, "view").stream
        assert span is None or span.current_ms == 0
        store.remove()
        store.covers("view", 1, 0)
        store.caught_up({"view": 1}, 9)


@pytest.mark.parametrize(
    ("limit", "policy"),
    [
        ("64mb", "noeviction"),
        # What has no lifetime is never dropped by it.
        ("64mb", "volatile-lru"),
        # Without a limit nothing is dropped.
        (0, "allkeys-lru"),
    ],
)
def test_one_that_keeps_them_is_used(limit: str | int, policy: str) -> None:
    with (
        redis_server(maxmemory=limit, maxmemory_policy=policy) as server,
        closing(RedisConnection(server.access())) as connection,
    ):
        store = RedisStateStore(connection, "p")
        assert store.read(KNOWN, ()).layers == KNOWN


def test_one_that_may_not_be_asked_is_used() -> None:
    with (
        redis_server(maxmemory="64mb", maxmemory_policy="allkeys-lru") as server,
        closing(RedisConnection(server.access())) as connection,
        closing(redis.Redis.from_url(server.url)) as other,
    ):
        other.acl_setuser("default", commands=["-info"], enabled=True, nopass=True, keys=["*"])
        store = RedisStateStore(connection, "p")
        assert store.read(KNOWN, ()).layers == KNOWN
        store.caught_up({}, 5)


def test_a_redis_that_comes_back_with_another_policy_is_noticed() -> None:
    with (
        redis_server(maxmemory="64mb", maxmemory_policy="noeviction") as server,
        closing(RedisConnection(server.access())) as connection,
    ):
        store = RedisStateStore(connection, "p")
        store.read(KNOWN, ())
        server.stop()
        server.directives = {**server.directives, "maxmemory-policy": "allkeys-lfu"}
        server.start()
        with pytest.raises(RetryableError, match="maxmemory-policy is allkeys-lfu"):
            store.read(KNOWN, ())
