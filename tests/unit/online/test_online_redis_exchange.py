"""Many commands in one round trip: what goes wrong amidst them leaves nothing behind."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta

import pytest

from headrace_features.online.layers import NO_LAYERS, Layers
from headrace_features.online.redis_access import RedisAccess
from headrace_features.online.redis_connection import RedisConnection
from headrace_features.online.redis_store import RedisStateStore
from headrace_features.online.store import Reading, Wanted
from headrace_schemas.errors import ConfigurationError, HeadraceError, RetryableError
from headrace_schemas.redis_address import RedisAddress
from online_stores import apply, change, layers_of, publish
from redis_servers import HOST, RedisServer, redis_server

MANY = 40


@pytest.fixture(scope="module")
def server() -> Iterator[RedisServer]:
    """Shared by all tests: each has keys of its own."""
    with redis_server() as one:
        yield one


@contextmanager
def slow_way(port: int, pieces: int, pause_s: float) -> Iterator[int]:
    """A port that leads to another one, whose answers come in pieces of so many bytes."""
    listener = socket.create_server((HOST, 0))
    ends: list[socket.socket] = []

    def copy(source: socket.socket, target: socket.socket, size: int, pause_s: float) -> None:
        with suppress(OSError):
            while data := source.recv(size):
                target.sendall(data)
                time.sleep(pause_s)

    def accept() -> None:
        with suppress(OSError):
            while True:
                near, _ = listener.accept()
                far = socket.create_connection((HOST, port))
                ends.extend((near, far))
                for way in ((near, far, 65_536, 0.0), (far, near, pieces, pause_s)):
                    threading.Thread(target=copy, args=way, daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    try:
        yield listener.getsockname()[1]
    finally:
        # One that is shut down wakes up who waits for it.
        for end in (listener, *ends):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()


def store_at(access: RedisAccess, prefix: str) -> RedisStateStore:
    return RedisStateStore(RedisConnection(access), prefix)


def everyone(store: RedisStateStore) -> tuple[dict[str, Layers], list[Wanted]]:
    keys = [b"card%d" % number for number in range(MANY)]
    return {"view": layers_of(store, "view")}, [Wanted("view", keys, ["r1"])]


def filled(access: RedisAccess, prefix: str) -> RedisStateStore:
    store = store_at(access, prefix)
    publish(store, "view", {b"card%d" % n: {"r1": b"%d" % n} for n in range(MANY)}, 1)
    apply(store, change("x7", 1, 1, b"there", entity="card3"))
    return store


async def in_a_task(
    store: RedisStateStore, known: dict[str, Layers], wanted: list[Wanted]
) -> Reading:
    try:
        return await store.read_async(known, wanted)
    finally:
        await store.aclose()


def test_an_answer_that_is_an_error_is_told_and_later_reads_get_their_own(
    server: RedisServer,
) -> None:
    store = filled(server.access(), "errors")
    known, wanted = everyone(store)
    right = store.read(known, wanted)
    with server.client() as client:
        client.set("errors:{card9}:view:s", "no hash")
    for _ in range(3):
        with pytest.raises(HeadraceError, match="WRONGTYPE"):
            store.read(known, wanted)
        with pytest.raises(HeadraceError, match="WRONGTYPE"):
            asyncio.run(in_a_task(store, known, wanted))
    with server.client() as client:
        client.delete("errors:{card9}:view:s")
    assert store.read(known, wanted) == right
    assert asyncio.run(in_a_task(store, known, wanted)) == right


def test_all_answers_together_may_take_no_longer_than_the_timeout(server: RedisServer) -> None:
    store = filled(server.access(), "slow")
    known, wanted = everyone(store)
    # Each piece comes in time, all of them don't.
    with slow_way(server.port, 40, 0.1) as slow:
        address = RedisAddress(((HOST, slow),))
        late = store_at(server.access(address=address, timeout=timedelta(seconds=0.5)), "slow")
        with pytest.raises(RetryableError):
            late.read(known, wanted)
        with pytest.raises(RetryableError):
            asyncio.run(in_a_task(late, known, wanted))


def test_what_is_no_redis_is_told_as_that(server: RedisServer) -> None:
    with socket.create_server((HOST, 0)) as listener:

        def answer() -> None:
            near, _ = listener.accept()
            with near:
                near.recv(1_000)
                near.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

        threading.Thread(target=answer, daemon=True).start()
        port = listener.getsockname()[1]
        store = store_at(server.access(address=RedisAddress(((HOST, port),))), "none")
        with pytest.raises(ConfigurationError, match=r"is no Redis.*redis_url"):
            store.read({"view": NO_LAYERS}, ())
