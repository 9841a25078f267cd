"""Whether Redis may drop keys when its memory is full.

An entity that is dropped reads as one without events: nobody could tell that from the truth.
"""

from __future__ import annotations

import re

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
    if policy and limit and int(limit[1]) and policy[1].startswith(b"allkeys"):
        raise EvictingError(policy[1].decode())
