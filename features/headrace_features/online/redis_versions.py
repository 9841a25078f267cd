"""The document of versions in Redis."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from headrace_features.online.redis_scripts import Call, run
from headrace_features.online.store import Noted

if TYPE_CHECKING:
    from headrace_features.online.redis_connection import RedisConnection
    from headrace_features.online.redis_keys import Keys

# Sent twice it finds its own document, which it knows by a mark.
_NOTE = """
if redis.call('HGET', KEYS[1], 'mark') == ARGV[3] then return 1 end
if (redis.call('HGET', KEYS[1], 'number') or '0') ~= ARGV[1] then return 0 end
redis.call('HSET', KEYS[1], 'number', ARGV[1] + 1, 'content', ARGV[2], 'mark', ARGV[3])
return 1
"""
_MARK_BYTES = 16


def versions_in(connection: RedisConnection, keys: Keys) -> Noted:
    """The document, and its number."""
    with connection.commands() as client:
        number, content = client.hmget(keys.versions, "number", "content")
    return Noted(int(number or 0), content or b"")


def note_versions(connection: RedisConnection, keys: Keys, content: bytes, held: int) -> bool:
    """Put another one in the place of the one that has a number; whether it had."""
    arguments = (held, content, os.urandom(_MARK_BYTES))
    (done,) = run(connection, [Call(_NOTE, (keys.versions,), arguments)])
    return bool(done)
