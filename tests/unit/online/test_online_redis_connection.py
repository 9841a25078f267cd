"""How clients of Redis are made from settings, and what their errors become; nothing is reached."""

from __future__ import annotations

import asyncio
import os
import ssl
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import redis
import redis.asyncio
from redis.exceptions import OutOfMemoryError, ResponseError

from headrace_features.embedded import Book, Entry, Service
from headrace_features.online.redis_access import RedisAccess, redis_access
from headrace_features.online.redis_connection import AsyncRedisConnection, RedisConnection
from headrace_features.online.redis_errors import told
from headrace_schemas.errors import ConfigurationError, RetryableError
from headrace_schemas.settings import load
from headrace_streaming.services.embedded import write_book
from headrace_streaming.services.processes import start, stop

PASSWORD = {"password": "a word"}


def access(tmp_path: Path, url: str, **options: str) -> RedisAccess:
    lines = "".join(f"{name} = '{text}'\n" for name, text in options.items())
    (tmp_path / "headrace.toml").write_text(
        '[project]\nname = "shop"\ndefinitions = ["shop.views"]\n[online]\ntype = "redis"\n'
        f'redis_url = "{url}"\ntimeout = "250ms"\npool = 3\n[online.redis_options]\n{lines}'
    )
    settings = load(tmp_path, {})
    return redis_access(settings.online, settings.home)


def pool_of(found: RedisAccess) -> Any:
    client = RedisConnection(found)._made()
    assert isinstance(client, redis.Redis)
    pool = client.connection_pool
    assert isinstance(pool, redis.BlockingConnectionPool)
    return pool


def matching(found: Mapping[str, Any], wanted: Mapping[str, Any]) -> Mapping[str, Any]:
    return {name: found.get(name) for name in wanted}


def test_one_node_is_reached_by_a_pool_of_the_size_and_patience_that_are_set(
    tmp_path: Path,
) -> None:
    pool = pool_of(access(tmp_path, "redis://cache.example:6380/2", username="me", **PASSWORD))
    assert pool.max_connections == 3
    assert pool.timeout == 0.25
    wanted = {
        "host": "cache.example",
        "port": 6380,
        "db": 2,
        "username": "me",
        **PASSWORD,
        "socket_timeout": 0.25,
        "socket_connect_timeout": 0.25,
        "decode_responses": False,
        "protocol": 2,
        "health_check_interval": 30,
        "retry_on_error": [redis.ConnectionError],
    }
    assert matching(pool.connection_kwargs, wanted) == wanted
    assert issubclass(pool.connection_class, redis.Connection)
    assert not issubclass(pool.connection_class, redis.SSLConnection)
    connection = pool.make_connection()
    assert connection.retry._retries == 1
    assert "_HiredisParser" in type(connection._parser).__name__


def test_tls_checks_the_server_s_certificate_and_name_unless_told_not_to(tmp_path: Path) -> None:
    pem = tmp_path / "ca.pem"
    pem.touch()
    found = access(tmp_path, "rediss://cache.example:6380", ssl_ca_certs=str(pem))
    connection = pool_of(found).make_connection()
    assert isinstance(connection, redis.SSLConnection)
    assert (connection.ca_certs, connection.check_hostname) == (str(pem), True)
    assert connection.cert_reqs is ssl.CERT_REQUIRED
    trusting = access(tmp_path, "rediss://cache.example:6380", ssl_cert_reqs="none")
    connection = pool_of(trusting).make_connection()
    assert (connection.cert_reqs, connection.check_hostname) == (ssl.CERT_NONE, False)


def test_tasks_get_what_threads_get(tmp_path: Path) -> None:
    async def made(url: str) -> Any:
        return AsyncRedisConnection(access(tmp_path, url, **PASSWORD))._made()

    pool = asyncio.run(made("rediss://cache.example:6380/2")).connection_pool
    assert isinstance(pool, redis.asyncio.BlockingConnectionPool)
    assert (pool.max_connections, pool.timeout) == (3, 0.25)
    wanted = {"host": "cache.example", "db": 2, **PASSWORD, "ssl_check_hostname": True}
    assert matching(pool.connection_kwargs, wanted) == wanted
    assert issubclass(pool.connection_class, redis.asyncio.SSLConnection)

    cluster = asyncio.run(made("rediss+cluster://one.example:1,two.example:2"))
    assert isinstance(cluster, redis.asyncio.RedisCluster)
    wanted = {**PASSWORD, "ssl_check_hostname": True, "socket_timeout": 0.25}
    assert matching(cluster.connection_kwargs, wanted) == wanted
    assert set(cluster.nodes_manager.startup_nodes) == {"one.example:1", "two.example:2"}
    assert cluster.cluster_error_retry_attempts == 1


@pytest.mark.parametrize(
    ("url", "options", "problem"),
    [
        ("redis://a:1", {"ssl_ca_certs": "ca.pem"}, "has ssl_ca_certs, but redis://a:1/0 is rea"),
        ("rediss://a:1", {"ssl_ca_certs": "gone.pem"}, "ssl_ca_certs of .* names gone.pem, which"),
        ("rediss://a:1", {"ssl_certfile": "c.pem"}, "only one of ssl_certfile and ssl_keyfile"),
        ("rediss://a:1", {"ssl_cert_reqs": "no"}, "ssl_cert_reqs of .* is not one of: none, opt"),
        ("rediss://a:1", {"ssl_check_hostname": "no"}, "is not one of: true, false"),
        (
            "rediss://a:1",
            {"ssl_cert_reqs": "none", "ssl_check_hostname": "true"},
            "ssl_check_hostname with ssl_cert_reqs none",
        ),
    ],
)
def test_options_that_make_no_sense_are_told_before_anything_is_reached(
    tmp_path: Path, url: str, options: dict[str, str], problem: str
) -> None:
    connection = RedisConnection(access(tmp_path, url, **options))
    with pytest.raises(ConfigurationError, match=problem), connection.commands():
        pass


def test_the_embedded_one_is_where_the_book_of_services_says(tmp_path: Path) -> None:
    with pytest.raises(RetryableError, match="the embedded redis does not run") as raised:
        access(tmp_path, "embedded")
    assert raised.value.hint == "run: headrace up"

    def note(process: Any) -> None:
        entry = Entry({"client": 21_000}, process)
        write_book(tmp_path / ".headrace", Book({Service.REDIS: entry}))
        noted.append(process)

    noted: list[Any] = []
    start(["sleep", "60"], log=tmp_path / "log", environment=os.environ, note=note)
    try:
        found = access(tmp_path, "embedded")
    finally:
        stop(noted[0])
    assert (str(found.address), found.embedded) == ("redis://127.0.0.1:21000/0", True)


def test_of_a_pipeline_s_error_the_cause_is_told_and_not_what_was_to_be_kept(
    tmp_path: Path,
) -> None:
    found = access(tmp_path, "redis://cache.example:1")
    said = "Command # 1 (EVALSHA 1 shop:{a} r1 \x00card) of pipeline caused error: it is full"
    assert str(told(OutOfMemoryError(said), found)) == (
        "Redis at redis://cache.example:1/0 can't answer now: it is full (try again shortly)"
    )


def test_no_secret_is_in_an_error_even_if_the_server_says_it(tmp_path: Path) -> None:
    found = access(tmp_path, "redis://cache.example:1", **PASSWORD)
    quoted = ResponseError("unknown command 'AUTH', with args beginning with: 'a word'")
    error = told(quoted, found)
    assert isinstance(error, ConfigurationError)
    assert "with args beginning with: '***'" in str(error)
    assert "a word" not in f"{error!r} {found!r}"
