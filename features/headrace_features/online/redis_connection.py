"""Redis for the threads, or the tasks, of a process: one node or a cluster.

A command that a broken connection cut short is sent once more, so that a restart of Redis isn't
noticed: it may be executed twice, and has to be one that bears that.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import Any

import redis
import redis.asyncio
from redis.asyncio.cluster import ClusterNode as AsyncClusterNode
from redis.asyncio.retry import Retry as AsyncRetry
from redis.backoff import NoBackoff
from redis.cluster import ClusterNode
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisClusterException, ResponseError
from redis.retry import Retry

from headrace_features.online.redis_access import RedisAccess
from headrace_features.online.redis_errors import TOLD, told, unformed
from headrace_features.online.redis_eviction import ASK_MEMORY, require_no_eviction
from headrace_schemas.redis_address import node_name

#: How often a command is sent again after a connection broke.
_RETRIES = 1
#: After so many seconds of silence a connection is tried before it is used.
_HEALTH_CHECK_S = 30


class RedisConnection:
    """Redis for any number of threads, and for processes that are forked."""

    def __init__(self, access: RedisAccess) -> None:
        """Name what is reached; nothing is connected before the first command."""
        self.access = access
        self._client: Any = None

    def __reduce__(self) -> tuple[Any, ...]:
        return RedisConnection, (self.access,)

    @contextmanager
    def commands(self) -> Iterator[Any]:
        """A client of redis-py: `Redis`, or `RedisCluster` with a cluster.

        Raises:
            ConfigurationError: Redis is not what the settings say, or lets nobody in.
            RetryableError: it can't be reached, or can't answer now.
        """
        try:
            # Two threads at once may make two; the first is given up after its commands.
            client = self._client = self._client or self._made()
            yield client
        except RedisClusterException as error:
            # One that found no node has forgotten where nodes were.
            self.close()
            raise told(error, self.access) from error
        except TOLD as error:
            raise told(error, self.access) from error

    def close(self) -> None:
        """End all connections; the next command makes new ones."""
        client, self._client = self._client, None
        if client is not None:
            client.close()

    def _made(self) -> Any:
        access = self.access
        host, port = access.address.nodes[0]
        # Timeouts are not among its errors: one that waited has waited long enough.
        retry = Retry(NoBackoff(), _RETRIES, (RedisConnectionError,))
        ours = {
            **access.arguments(),
            "connection_class": _TlsConnection if access.address.tls else _Connection,
            "health_check_interval": _HEALTH_CHECK_S,
            "max_connections": access.pool,
            "retry_on_error": [RedisConnectionError],
            "timeout": access.timeout_s,
        }

        def pool(**given: Any) -> redis.BlockingConnectionPool:
            # It waits for a free connection, as a read does that finds Redis busy.
            return redis.BlockingConnectionPool(**(given | ours))  # type: ignore[no-untyped-call]

        if not access.address.cluster:
            made = pool(host=host, port=port, db=access.address.database, retry=retry)
            return redis.Redis.from_pool(made)
        try:
            # Given a URL it makes the pools by that function; otherwise it drops arguments that
            # it doesn't know, the check of the server's name among them.
            return redis.RedisCluster(
                url=f"redis://{node_name(host, port)}",
                startup_nodes=[_node(*node) for node in access.address.nodes[1:]],
                connection_pool_class=pool,
                retry=retry,
                cluster_error_retry_attempts=_RETRIES,
                require_full_coverage=False,
            )
        except IndexError as error:
            raise unformed(access) from error


class AsyncRedisConnection:
    """Redis for the tasks of one event loop."""

    def __init__(self, access: RedisAccess) -> None:
        """Name what is reached; nothing is connected before the first command."""
        self.access = access
        self._client: Any = None
        # With a cluster the client has no pool that would wait.
        self._free = asyncio.Semaphore(access.pool)

    @asynccontextmanager
    async def commands(self) -> AsyncIterator[Any]:
        """A client of redis.asyncio: `Redis`, or `RedisCluster` with a cluster.

        With a cluster, as many tasks are inside at a time as there may be connections; each sends
        one command or pipeline at a time.

        Raises:
            ConfigurationError: Redis is not what the settings say, or lets nobody in.
            RetryableError: it can't be reached, or can't answer now.
        """
        try:
            client = self._client = self._client or self._made()
            if not self.access.address.cluster:
                yield client
                return
            async with self._turn():
                await self._initialize(client)
                yield client
        except RedisClusterException as error:
            await self.aclose()
            raise told(error, self.access) from error
        except TOLD as error:
            raise told(error, self.access) from error

    async def aclose(self) -> None:
        """End all connections; the next command makes new ones."""
        client, self._client = self._client, None
        if client is not None:
            await client.aclose()

    @asynccontextmanager
    async def _turn(self) -> AsyncIterator[None]:
        try:
            async with asyncio.timeout(self.access.timeout_s):
                await self._free.acquire()
        except TimeoutError as error:
            raise RedisConnectionError("No connection available") from error
        try:
            yield
        finally:
            self._free.release()

    async def _initialize(self, client: Any) -> None:
        try:
            await client.initialize()
        except IndexError as error:
            raise unformed(self.access) from error

    def _made(self) -> Any:
        access, arguments = self.access, self.access.arguments()
        retry = AsyncRetry(NoBackoff(), _RETRIES, (RedisConnectionError,))
        again: dict[str, Any] = {"retry": retry, "retry_on_error": [RedisConnectionError]}
        kind = _AsyncTlsConnection if access.address.tls else _AsyncConnection
        if access.address.cluster:
            cluster = redis.asyncio.RedisCluster(
                startup_nodes=[AsyncClusterNode(*node) for node in access.address.nodes],
                ssl=access.address.tls,
                cluster_error_retry_attempts=_RETRIES,
                require_full_coverage=False,
                **again,
                **arguments,
            )
            # It takes no class, for the nodes that it knows and those that it will learn of.
            for node in cluster.nodes_manager.startup_nodes.values():
                node.connection_class = kind
            cluster.connection_kwargs["connection_class"] = kind
            return cluster
        host, port = access.address.nodes[0]
        pool = redis.asyncio.BlockingConnectionPool(
            max_connections=access.pool,
            timeout=access.timeout_s,  # type: ignore[arg-type] # fractions of a second will do
            connection_class=kind,
            health_check_interval=_HEALTH_CHECK_S,
            host=host,
            port=port,
            db=access.address.database,
            **again,
            **arguments,
        )
        return redis.asyncio.Redis.from_pool(pool)


def _node(host: str, port: int) -> ClusterNode:
    return ClusterNode(host, port)  # type: ignore[no-untyped-call]


# A connection that was just made needs no check. redis-py would make it amidst the greeting: to a
# server that wants a password and is given none, it would begin anew without end.


class _Greeting:
    """What is said over each new connection, whether with TLS or without."""

    def on_connect(self) -> None:
        self.next_health_check = int(time.time()) + _HEALTH_CHECK_S
        super().on_connect()  # type: ignore[misc]
        answer = None
        with suppress(ResponseError):
            self.send_command(*ASK_MEMORY)  # type: ignore[attr-defined]
            answer = self.read_response()  # type: ignore[attr-defined]
        require_no_eviction(answer)


class _AsyncGreeting:
    """Likewise."""

    async def on_connect(self) -> None:
        self.next_health_check = asyncio.get_running_loop().time() + _HEALTH_CHECK_S
        await super().on_connect()  # type: ignore[misc]
        answer = None
        with suppress(ResponseError):
            await self.send_command(*ASK_MEMORY)  # type: ignore[attr-defined]
            answer = await self.read_response()  # type: ignore[attr-defined]
        require_no_eviction(answer)


class _Connection(_Greeting, redis.Connection):
    pass


class _TlsConnection(_Greeting, redis.SSLConnection):
    pass


class _AsyncConnection(_AsyncGreeting, redis.asyncio.Connection):
    pass


class _AsyncTlsConnection(_AsyncGreeting, redis.asyncio.SSLConnection):
    pass
