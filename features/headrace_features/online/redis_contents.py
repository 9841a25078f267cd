"""All that Redis keeps of a view: read in full, weighed, and deleted.

Some at a time: neither holds all of it in memory, nor keeps others waiting.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import TYPE_CHECKING

from headrace_features.online.layers import LayerSize
from headrace_features.online.redis_keys import VERSION
from headrace_features.online.redis_scripts import AT_ONCE, batched

if TYPE_CHECKING:
    from headrace_features.online.redis_connection import RedisConnection
    from headrace_features.online.redis_keys import Keys


def contents_in(
    connection: RedisConnection, keys: Keys, view: str
) -> Iterator[tuple[bytes, str, bytes]]:
    """Entity, field and content of the stream layer of a view, without those that are empty."""
    before: frozenset[bytes] = frozenset()
    with connection.commands() as client:
        found = client.scan_iter(match=keys.of(view, "s"), count=AT_ONCE)
        for some in batched(found, AT_ONCE):
            # While its table of keys shrinks, Redis says some again that it has said just before.
            these = frozenset(key for key in some if keys.ending(view, key) == b"s")
            fresh = [*(these - before)]
            before = these
            pipe = client.pipeline(transaction=False)
            for key in fresh:
                pipe.hgetall(key)
            for key, held in zip(fresh, pipe.execute(), strict=True):
                entity = keys.entity(key)
                for name, content in held.items():
                    if len(content) > VERSION.size:
                        yield entity, name.decode(), content[VERSION.size :]


def sizes_in(connection: RedisConnection, keys: Keys) -> list[LayerSize]:
    """What each layer of each view takes, as Redis tells of each key."""
    sums: dict[tuple[str, str], list[int]] = {}
    with connection.commands() as client:
        found = client.scan_iter(match=keys.of_entities, count=AT_ONCE)
        for some in batched(found, AT_ONCE):
            pipe = client.pipeline(transaction=False)
            for key in some:
                pipe.hlen(key)
                pipe.memory_usage(key)
            told = iter(pipe.execute())
            for key in some:
                view, ending = keys.view_and_ending(key)
                one = sums.setdefault((view, "stream" if ending == b"s" else "batch"), [0, 0, 0])
                # One that went meanwhile has none.
                for at, more in enumerate((1, next(told), next(told) or 0)):
                    one[at] += more
    return [LayerSize(*place, *one) for place, one in sorted(sums.items())]


def drop_from(connection: RedisConnection, keys: Keys, views: Collection[str]) -> None:
    """Delete the progress of a namespace and what is known of some views, then all they have."""
    with connection.commands() as client:
        client.unlink(keys.progress)
        for view in views:
            client.unlink(keys.view(view))
        for view in views:
            found = client.scan_iter(match=keys.all_of(view), count=AT_ONCE)
            for some in batched(found, AT_ONCE):
                pipe = client.pipeline(transaction=False)
                for key in some:
                    if keys.is_of(view, key):
                        pipe.unlink(key)
                pipe.execute()
