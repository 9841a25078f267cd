"""Many commands in one round trip.

With one node they go over a connection straight away: of a read of a hundred rows the pipeline of
redis-py takes longer than Redis and the network do.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

import hiredis
import redis
import redis.asyncio

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
        await connection.send_packed_command(_packed(commands))
        try:
            return [_answer(command, await connection.read_response()) for command in commands]
        except BaseException:
            await connection.disconnect(nowait=True)
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
    try:
        return [_answer(command, connection.read_response()) for command in commands]
    except BaseException:
        # Answers that nobody has read would be taken for those to other commands.
        connection.disconnect()
        raise


def _packed(commands: Sequence[Command]) -> bytes:
    return b"".join(map(hiredis.pack_command, commands))


def _answer(command: Command, answer: Any) -> Any:
    if command[0] == "HGETALL" and isinstance(answer, list):
        return dict(zip(answer[::2], answer[1::2], strict=True))
    return answer
