"""Redis as `headrace up` starts it, and Redis of any kind as clients reach it."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from headrace_features.embedded import Service, read_book
from headrace_features.online.redis_access import RedisAccess, redis_access
from headrace_features.online.redis_connection import AsyncRedisConnection, RedisConnection
from headrace_orchestration.diagnosis.redis import redis_checks
from headrace_schemas.errors import ConfigurationError, HeadraceError, RetryableError
from headrace_schemas.redis_address import RedisAddress
from headrace_schemas.settings import Settings, load
from headrace_streaming.services import control
from headrace_streaming.writer.status import read_status
from live_run import kill
from redis_servers import HOST, Certificates, certificates, redis_cluster, redis_server
from streams import headrace

PASSWORD = "a word'with signs"  # noqa: S105 - of this test's servers
SOON = timedelta(milliseconds=200)


def project(folder: Path) -> Settings:
    (folder / "headrace.toml").write_text(
        '[project]\nname = "shop"\ndefinitions = ["headrace_features.fraud.definitions"]\n'
        '[online]\ntype = "redis"\ntimeout = "5s"\n'
    )
    return load(folder, {"HEADRACE_HOME": str(folder / "a home")})


@pytest.fixture
def settings(tmp_path: Path) -> Iterator[Settings]:
    found = project(tmp_path)
    try:
        yield found
    finally:
        control.down(found.home)


def up(settings: Settings) -> str:
    """Start Redis alone; its address."""
    (state,) = [
        one
        for one in control.up(settings.home, os.environ, wanted=(Service.REDIS,))
        if one.service is Service.REDIS
    ]
    assert (state.state, state.data) == ("running", settings.home / "redis")
    return str(state.address)


def connected(settings: Settings) -> closing[RedisConnection]:
    return closing(RedisConnection(redis_access(settings.online, settings.home)))


def outcome(access: RedisAccess) -> Any:
    """What a thread gets for a PING."""
    with closing(RedisConnection(access)) as connection:
        try:
            with connection.commands() as client:
                return client.ping()
        except HeadraceError as error:
            return error


def outcome_of_a_task(access: RedisAccess) -> Any:
    """What a task gets for a PING."""

    async def asked() -> Any:
        connection = AsyncRedisConnection(access)
        try:
            async with connection.commands() as client:
                return await client.ping()
        except HeadraceError as error:
            return error
        finally:
            await connection.aclose()

    return asyncio.run(asked())


def is_told(found: Any, kind: type[HeadraceError], *parts: str) -> None:
    assert type(found) is kind, repr(found)
    text = str(found)
    assert len(text.splitlines()) == 1
    assert found.hint
    for part in parts:
        assert part in text
    assert PASSWORD not in text
    assert "another" not in text


def test_the_command_starts_redis_where_the_settings_ask_for_it(tmp_path: Path) -> None:
    home = tmp_path / "a home"
    project(tmp_path)
    try:
        headrace(home, "up", folder=tmp_path)
        states = {one.service: one for one in control.status(home)}
        assert {one.state for one in states.values()} == {"running"}
        assert set(states) == set(Service)
        shown = headrace(home, "status", folder=tmp_path).stdout
        assert str(states[Service.REDIS].address) in shown
        found = headrace(home, "doctor", folder=tmp_path).stdout
        assert "noeviction" in " ".join(found.split())
        # Another store is written to by a writer that is started anew.
        settings_file = tmp_path / "headrace.toml"
        settings_file.write_text(settings_file.read_text().replace('"redis"', '"sqlite"'))
        headrace(home, "up", folder=tmp_path)
        after = {one.service: one for one in control.status(home)}
        changed = {name for name in after if after[name].pid != states[name].pid}
        assert changed == {Service.WRITER}
        told = read_status(home)
        assert told is not None
        assert told.store.endswith("online.db")
    finally:
        stopped = headrace(home, "down", folder=tmp_path).stdout
    assert stopped.count("stopped") == len(Service)
    # It ran, so it is shown whatever the settings say now.
    (tmp_path / "headrace.toml").unlink()
    assert "redis" in headrace(home, "status", folder=tmp_path).stdout


def test_what_redis_holds_outlives_down_and_a_kill(settings: Settings) -> None:
    address = up(settings)
    with connected(settings) as connection:
        with connection.commands() as client:
            client.set("kept", b"\x00\xff")
        assert up(settings) == address  # nothing to do
        control.down(settings.home)
        # Whoever starts meanwhile finds it once it is back.
        with connected(settings) as early:
            is_told(outcome(early.access), RetryableError, "does not answer", "headrace up")
            assert up(settings) == address
            with early.commands() as client:
                assert client.exists("kept")
        # The pool's connections are dead; nobody notices.
        with connection.commands() as client:
            assert client.get("kept") == b"\x00\xff"
            client.set("late", b"1")
        kill(settings.home, Service.REDIS)
        (state,) = [s for s in control.status(settings.home) if s.service is Service.REDIS]
        assert state.state == "stopped"
        assert up(settings) == address
        with connection.commands() as client:
            assert client.mget("kept", "late") == [b"\x00\xff", b"1"]


def test_the_embedded_redis_keeps_all_and_is_reached_from_this_machine_alone(
    settings: Settings,
) -> None:
    up(settings)
    wanted = {
        "bind": HOST,
        "protected-mode": "yes",
        "appendonly": "yes",
        "appendfsync": "everysec",
        "save": "",
        "maxmemory-policy": "noeviction",
        "unixsocket": "",
        "dir": str(settings.home / "redis"),
    }
    with connected(settings) as connection, connection.commands() as client:
        found = client.config_get()
        assert {name: found[name] for name in wanted} == wanted


def test_a_redis_that_hangs_is_unhealthy(settings: Settings) -> None:
    up(settings)
    process = read_book(settings.home).services[Service.REDIS].process
    assert process is not None
    os.kill(process.pid, signal.SIGSTOP)
    try:
        (state,) = [s for s in control.status(settings.home) if s.service is Service.REDIS]
        assert state.state == "unhealthy"
    finally:
        os.kill(process.pid, signal.SIGCONT)


def test_a_redis_that_can_not_start_is_told_with_its_own_words(settings: Settings) -> None:
    log = settings.home / "redis" / "appendonlydir"
    log.parent.mkdir(parents=True)
    log.write_text("in the way")
    with pytest.raises(ConfigurationError, match="redis ended at once; its log ends with: ") as e:
        up(settings)
    assert "appendonlydir" in str(e.value)


@pytest.mark.parametrize("ping", [outcome, outcome_of_a_task])
def test_what_keeps_a_client_out_of_one_node_is_told(ping: Callable[[RedisAccess], Any]) -> None:
    with redis_server(password=PASSWORD) as server:
        assert ping(server.access()) is True
        wrong = server.access(options={"password": "another"})
        is_told(ping(wrong), ConfigurationError, "lets nobody in so", "username and password of [")
        is_told(ping(server.access(options={})), ConfigurationError, "lets nobody in so")
        another = RedisAddress(((HOST, server.port),), database=99)
        is_told(ping(server.access(address=another)), ConfigurationError, "DB index is out of ra")
        cluster = RedisAddress(((HOST, server.port),), cluster=True)
        is_told(ping(server.access(address=cluster)), ConfigurationError, "is no cluster")
        server.pause()
        slow = server.access(timeout=SOON)
        is_told(ping(slow), RetryableError, "did not answer within 200 ms")
        server.go_on()
        server.stop()
        is_told(ping(server.access()), RetryableError, server.url, "Connection refused")
        gone = server.access(embedded=True)
        is_told(ping(gone), RetryableError, "headrace up")
    nowhere = RedisAddress((("nowhere.invalid", 1),))
    is_told(ping(server.access(address=nowhere)), RetryableError, "nowhere.invalid")


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return certificates(tmp_path_factory.mktemp("certificates"))


def test_tls_with_a_password_lets_in_who_has_both(files: Certificates, tmp_path: Path) -> None:
    with redis_server(password=PASSWORD, certificates=files) as server:
        settings = load(tmp_path, server.environ())
        access = redis_access(settings.online, settings.home)
        assert str(access.address).startswith("rediss://")
        # A busy machine takes longer than half a second for keys and certificates.
        access = replace(access, timeout=timedelta(seconds=5))
        assert outcome(access) is True
        assert outcome_of_a_task(access) is True
        wrong = replace(access, options={**server.options, "password": "another"})
        is_told(outcome(wrong), ConfigurationError, "lets nobody in so")
        unknown = certificates(tmp_path / "unknown").options["ssl_ca_certs"]
        strange = replace(access, options={**server.options, "ssl_ca_certs": unknown})
        for ping in (outcome, outcome_of_a_task):
            is_told(ping(strange), ConfigurationError, "there is no TLS with", "certificate")
        plain = server.access(address=RedisAddress(((HOST, server.port),)), options={})
        is_told(outcome(plain), RetryableError, "with TLS it begins with rediss://")
        assert PASSWORD not in f"{settings} {access}"


def test_a_server_with_another_s_certificate_is_not_believed(tmp_path: Path) -> None:
    with redis_server(certificates=certificates(tmp_path, "DNS:elsewhere.example")) as server:
        for ping in (outcome, outcome_of_a_task):
            is_told(ping(server.access()), ConfigurationError, "certificate is not valid for")
        unchecked = {**server.options, "ssl_check_hostname": "false"}
        assert outcome(server.access(options=unchecked)) is True


def test_more_threads_and_tasks_than_connections_wait_for_each_other() -> None:
    with redis_server() as server:
        access = server.access(pool=2)
        with closing(RedisConnection(access)) as connection, ThreadPoolExecutor(20) as threads:

            def one(number: int) -> int:
                with connection.commands() as client:
                    client.incrby("sum", number)
                    return len(client.client_list())

            assert max(threads.map(one, range(100))) <= 2
        with server.client() as client:
            assert client.get("sum") == b"4950"

        async def many() -> int:
            tasks = AsyncRedisConnection(access)
            try:
                return max(await asyncio.gather(*(of(tasks) for _ in range(100))))
            finally:
                await tasks.aclose()

        async def of(tasks: AsyncRedisConnection) -> int:
            async with tasks.commands() as client:
                return len(await client.client_list())

        assert asyncio.run(many()) <= 2


def test_a_connection_that_nobody_gives_back_in_time_is_told() -> None:
    with redis_server() as server:
        access = server.access(pool=1, timeout=SOON)
        with closing(RedisConnection(access)) as connection, connection.commands() as client:
            held = client.connection_pool.get_connection()
            with pytest.raises(RetryableError, match="all 1 connections to Redis at redis"):
                pinged(connection)
            client.connection_pool.release(held)
            assert pinged(connection)


def pinged(connection: RedisConnection) -> Any:
    with connection.commands() as client:
        return client.ping()


def test_a_command_that_a_broken_connection_cut_short_is_sent_once_more() -> None:
    with redis_server() as server, closing(RedisConnection(server.access())) as connection:
        with connection.commands() as client:
            waits = threading.Thread(target=lambda: answers.append(client.blpop("list", 10)))
            answers: list[Any] = []
            waits.start()
            with server.client() as other:
                while not (blocked := blocked_clients(other)):
                    pass
                other.client_kill_filter(_id=blocked[0])
                other.rpush("list", "x")
            waits.join()
        assert answers == [(b"list", b"x")]


def blocked_clients(client: Any) -> list[str]:
    return [one["id"] for one in client.client_list() if "b" in one["flags"]]


def test_a_cluster_is_used_whole_and_found_again_after_all_of_it_was_away() -> None:
    with redis_cluster(password=PASSWORD, appendonly="yes", appendfsync="always") as cluster:
        access = cluster.access()
        keys = [f"key {number}" for number in range(50)]
        with closing(RedisConnection(access)) as connection:
            with connection.commands() as client:
                for key in keys:
                    client.set(key, key)
            assert all(int(node.cli("dbsize")) > 0 for node in cluster.nodes)
            assert asyncio.run(values(AsyncRedisConnection(access), keys)) == keys

            one = cluster.nodes[0].access()
            with pytest.raises(ConfigurationError, match="is one node of a cluster"):
                whole(RedisConnection(one), keys)
            wrong = cluster.access(options={"password": "another"})
            for ping in (outcome, outcome_of_a_task):
                is_told(ping(wrong), ConfigurationError, "lets nobody in so")

            for node in cluster.nodes:
                node.kill()
            # More often than there are nodes and connections to forget.
            for _ in range(20):
                with pytest.raises(RetryableError, match="Connection refused"):
                    whole(connection, keys)
            for node in cluster.nodes:
                node.start()
            cluster.wait()
            assert whole(connection, keys) == keys


def whole(connection: RedisConnection, keys: list[str]) -> list[str]:
    with connection.commands() as client:
        return [client.get(key).decode() for key in keys]


async def values(connection: AsyncRedisConnection, keys: list[str]) -> list[str]:
    async def value(key: str) -> str:
        async with connection.commands() as client:
            found: bytes = await client.get(key)
            return found.decode()

    try:
        return await asyncio.gather(*(value(key) for key in keys))
    finally:
        await connection.aclose()


def test_a_cluster_over_tls_is_held_to_its_certificates(
    files: Certificates, tmp_path: Path
) -> None:
    with redis_cluster(certificates=files) as cluster:
        assert outcome(cluster.access()) is True
        assert outcome_of_a_task(cluster.access()) is True
    with redis_cluster(certificates=certificates(tmp_path, "DNS:elsewhere.example")) as cluster:
        for ping in (outcome, outcome_of_a_task):
            is_told(ping(cluster.access()), ConfigurationError, "certificate is not valid for")


def test_the_doctor_looks_at_the_redis_of_the_settings(tmp_path: Path, files: Certificates) -> None:
    def looked_at(environ: dict[str, str]) -> list[tuple[str, str, str, str | None]]:
        more = {"HEADRACE_ONLINE_TIMEOUT": "5s"}
        checks = redis_checks(load(tmp_path, environ | more), os.environ)
        return [(check.name, str(check.status), check.found, check.advice) for check in checks]

    embedded = looked_at({"HEADRACE_ONLINE_TYPE": "redis"})
    assert [(name, status) for name, status, _, _ in embedded] == [
        ("Redis", "ok"),
        ("online store", "warning"),
    ]
    assert embedded[1][2:] == ("the embedded redis does not run", "run: headrace up")
    with redis_server(password=PASSWORD, certificates=files) as server:
        ((_, status, found, advice),) = looked_at(server.environ())
        assert (status, advice) == ("ok", None)
        assert f"at {server.url}, maxmemory-policy noeviction; it has no append-only" in found
        ((_, status, found, _),) = looked_at(
            server.environ() | {"HEADRACE_ONLINE_REDIS_OPTIONS": ""}
        )
        assert status == "problem"
        assert PASSWORD not in found
    ((_, status, found, advice),) = looked_at(server.environ())
    assert status == "problem"
    with redis_server(maxmemory_policy="allkeys-lru", appendonly="yes") as server:
        ((_, status, found, advice),) = looked_at(server.environ())
    assert (status, found.partition(", ")[2]) == ("warning", "maxmemory-policy allkeys-lru")
    assert "noeviction" in str(advice)
    with redis_server(maxmemory_policy="allkeys-lru", maxmemory="64mb") as server:
        ((_, status, found, advice),) = looked_at(server.environ())
    assert (status, "maxmemory-policy is allkeys-lru" in found) == ("problem", True)
