"""Scripts for Redis, each for one key or several of one entity, sent many at a time."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from itertools import islice
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from redis.exceptions import NoScriptError

if TYPE_CHECKING:
    from headrace_features.online.redis_connection import RedisConnection

_T = TypeVar("_T")
#: Commands in one round trip of a writer.
AT_ONCE = 1_000


class Call(NamedTuple):
    """A script, the keys that it is for, all in one slot, and what it is given."""

    script: str
    keys: tuple[bytes, ...]
    arguments: Sequence[Any] = ()


def run(connection: RedisConnection, calls: Iterable[Call]) -> list[Any]:
    """Run scripts, all of which bear being repeated; what they give."""
    answers: list[Any] = []
    with connection.commands() as client:
        for some in batched(calls, AT_ONCE):
            try:
                answers += evaluated(client, some)
            except NoScriptError:
                # A node that is new, or was started anew.
                for script in {call.script for call in some}:
                    client.script_load(script)
                answers += evaluated(client, some)
    return answers


def batched(found: Iterable[_T], count: int) -> Iterator[tuple[_T, ...]]:
    """Some at a time."""
    left = iter(found)
    while some := tuple(islice(left, count)):
        yield some


def evaluated(client: Any, calls: Iterable[Call]) -> list[Any]:
    """What scripts give that every node has."""
    pipe = client.pipeline(transaction=False)
    for script, keys, arguments in calls:
        pipe.execute_command("EVALSHA", _digest(script), len(keys), *keys, *arguments)
    found: list[Any] = pipe.execute()
    return found


@cache
def _digest(script: str) -> str:
    # Redis knows scripts by this hash.
    return hashlib.sha1(script.encode(), usedforsecurity=False).hexdigest()
