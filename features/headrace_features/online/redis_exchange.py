"""Many commands in one round trip.

With one node they go over a connection straight away: of a read of a hundred rows the pipeline of
redis-py takes longer than Redis and the network do.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Sequence
from typing import Any, TypeAlias

import hiredis
import redis
import redis.asyncio
from redis.exceptions import TimeoutError as RedisTimeoutError

Command: TypeAlias = tuple[Any, ...]


def exchange(client: redis.Redis | redis.RedisCluster, commands: Sequence[Command]) -> list[Any]:
    """The answers to commands that bear being sent again; of a whole hash as a mapping."""
    if isinstance(client, redis.RedisCluster):
        pipe = client.pipeline(transaction=False)
        for command in commands:
            pipe.execute_command(*command)
        answers: list[Any] = pipe.execute()
        return answers
    pool = client.connection_pool
    connection: Any = pool.get_connection()
    try:
        return connection.retry.call_with_retry(  # type: ignore[no-any-return]
            lambda: _exchange(connection, commands), lambda _: connection.disconnect()
        )
    finally:
        pool.release(connection)


async def exchange_async(
    client: redis.asyncio.Redis | redis.asyncio.RedisCluster, commands: Sequence[Command]
) -> list[Any]:
    """The same for tasks."""
    if isinstance(client, redis.asyncio.RedisCluster):
        pipe: Any = client.pipeline(transaction=False)
        for command in commands:
            pipe.execute_command(*command)
        answers: list[Any] = await pipe.execute()
        return answers
    pool: Any = client.connection_pool
    connection: Any = await pool.get_connection()

    async def exchanged() -> list[Any]:
        try:
            async with asyncio.timeout(connection.socket_timeout):
                await connection.send_packed_command(_packed(commands))
                return [_answer(command, await connection.read_response()) for command in commands]
        except BaseException as error:
            await connection.disconnect(nowait=True)
            if isinstance(error, TimeoutError):
                raise _late() from error
            raise

    async def broken(error: Exception) -> None:
        del error
        await connection.disconnect(nowait=True)

    try:
        return await connection.retry.call_with_retry(exchanged, broken)  # type: ignore[no-any-return]
    finally:
        await pool.release(connection)


def _exchange(connection: Any, commands: Sequence[Command]) -> list[Any]:
    connection.send_packed_command([_packed(commands)])
    deadline = time.monotonic() + (connection.socket_timeout or math.inf)
    answers = []
    try:
        for command in commands:
            # The connection's own timeout is for one answer, and begins anew with each.
            _require_before(deadline)
            answers.append(_answer(command, connection.read_response()))
    except BaseException:
        # Answers that nobody has read would be taken for those to other commands.
        connection.disconnect()
        raise
    return answers


def _require_before(deadline: float) -> None:
    if time.monotonic() > deadline:
        raise _late()


def _late() -> RedisTimeoutError:
    return RedisTimeoutError("Timeout reading all answers")


def _packed(commands: Sequence[Command]) -> bytes:
    return b"".join(map(hiredis.pack_command, commands))


def _answer(command: Command, answer: Any) -> Any:
    if command[0] == "HGETALL" and isinstance(answer, list):
        return dict(zip(answer[::2], answer[1::2], strict=True))
    return answer
