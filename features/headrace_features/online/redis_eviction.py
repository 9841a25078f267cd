"""Whether Redis may drop keys when its memory is full.

An entity that is dropped reads as one without events: nobody could tell that from the truth.
"""

from __future__ import annotations

import re
from typing import Any

from redis.cluster import RedisCluster
from redis.exceptions import ResponseError

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
    if policy and limit and _evicts(policy[1].decode(), int(limit[1])):
        raise EvictingError(policy[1].decode())


def evicting_now(client: Any) -> tuple[str, int] | None:
    """By which policy a client that is in use may drop keys, and how many it has dropped.

    How Redis is set may have been changed since it was connected.

    Args:
        client: `Redis`, or `RedisCluster`, of which all primaries are asked.

    Returns:
        None if it drops none, or may not be asked.
    """
    # By node, where there are several.
    everywhere = {"target_nodes": "primaries"} if isinstance(client, RedisCluster) else {}
    try:
        memory = client.info("memory", **everywhere)
        found = [
            one["maxmemory_policy"]
            for one in ([memory] if "maxmemory" in memory else memory.values())
            if _evicts(one.get("maxmemory_policy", ""), one.get("maxmemory", 0))
        ]
        if not found:
            return None
        stats = client.info("stats", **everywhere)
    except ResponseError:
        return None
    told = [stats] if "evicted_keys" in stats else stats.values()
    return found[0], sum(one["evicted_keys"] for one in told)


def _evicts(policy: str, limit: int) -> bool:
    return bool(limit) and policy.startswith("allkeys")
