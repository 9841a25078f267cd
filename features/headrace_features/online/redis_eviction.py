"""Whether Redis may drop keys when its memory is full.

An entity that is dropped reads as one without events: nobody could tell that from the truth.
"""

from __future__ import annotations

import re
from typing import Any

from redis.cluster import RedisCluster
from redis.exceptions import NoPermissionError, ResponseError

#: The command whose answer tells.
ASK_MEMORY = ("INFO", "memory")
_POLICY = re.compile(rb"^maxmemory_policy:(\S+)", re.MULTILINE)
_LIMIT = re.compile(rb"^maxmemory:(\d+)", re.MULTILINE)


class EvictingError(ResponseError):
    """Redis may drop keys of ours; the message is the policy by which it does."""


def require_no_eviction(answer: object) -> None:
    """Refuse a Redis that may drop keys without a lifetime, as ours all are.

    Args:
        answer: to `ASK_MEMORY`; None where it isn't allowed to ask.

    Raises:
        EvictingError: it may.
    """
    if not isinstance(answer, bytes):
        return
    policy, limit = _POLICY.search(answer), _LIMIT.search(answer)
    if policy and limit:
        _require(policy[1].decode(), int(limit[1]))


def require_still_none(client: Any) -> None:
    """The same of a client that is in use: how Redis is set may have been changed since.

    Args:
        client: `Redis`, or `RedisCluster`, of which all nodes are asked.

    Raises:
        EvictingError: it may.
    """
    everywhere = {"target_nodes": "all"} if isinstance(client, RedisCluster) else {}
    try:
        answer = client.info("memory", **everywhere)
    except NoPermissionError:
        return
    # By node, where there are several.
    for told in [answer] if "maxmemory" in answer else answer.values():
        _require(told["maxmemory_policy"], told["maxmemory"])


def _require(policy: str, limit: int) -> None:
    if limit and policy.startswith("allkeys"):
        raise EvictingError(policy)
