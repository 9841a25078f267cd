"""Whether Redis has lost keys of ours: dropped for want of memory, or with a node of a cluster.

An entity that is lost reads as one without events. What Redis was told to forget, whole, is noticed
by that nothing is there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from redis.cluster import RedisCluster

from headrace_features.online.redis_eviction import EvictingError, evicting_now
from headrace_schemas.errors import RetryableError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from headrace_features.online.redis_keys import Keys

_ANEW = "run: headrace online rebuild"


def require_no_losses(client: Any, keys: Keys, views: Iterable[str]) -> None:
    """See that nothing is lost; once something is, no view is known to be current.

    Args:
        client: `Redis`, or `RedisCluster`.
        keys: what keys are called.
        views: keys of the views that would be known to be current otherwise.

    Raises:
        EvictingError: Redis is set to drop keys since it was connected.
        RetryableError: some were lost.
    """
    evicting = evicting_now(client)
    if evicting is not None and evicting[1]:
        client.set(keys.evicted, evicting[0])
    policy = client.get(keys.evicted)
    lost = None
    if policy is not None:
        lost = f"Redis has dropped keys while its maxmemory-policy was {policy.decode()}"
    elif isinstance(client, RedisCluster) and not _has_all_parts(client, keys):
        lost = "a part of the Redis cluster has lost its keys"
    if lost is not None:
        for view in views:
            client.hdel(keys.view(view), "current_ms")
    if evicting is not None:
        raise EvictingError(evicting[0])
    if lost is not None:
        raise RetryableError(lost, hint=_ANEW)


def _has_all_parts(client: Any, keys: Keys) -> bool:
    """Whether all marks are there, or none: then they are made."""
    pipe = client.pipeline(transaction=False)
    for key in keys.marks:
        pipe.get(key)
    found = pipe.execute()
    if any(found):
        return all(found)
    pipe = client.pipeline(transaction=False)
    for key in keys.marks:
        pipe.set(key, 1)
    pipe.execute()
    return True
