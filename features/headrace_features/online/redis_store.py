"""Entity state in Redis, one node or a cluster: the online store for production.

Scripts make each step that looks before it writes: no two writers get between.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterator, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from headrace_features.online.layers import Layers, LayerSize
from headrace_features.online.redis_connection import AsyncRedisConnection
from headrace_features.online.redis_contents import contents_in, drop_from, sizes_in
from headrace_features.online.redis_exchange import exchange, exchange_async
from headrace_features.online.redis_generations import Generations
from headrace_features.online.redis_keys import VERSION, Keys
from headrace_features.online.redis_losses import require_no_losses
from headrace_features.online.redis_scripts import AT_ONCE, Call, batched, run
from headrace_features.online.redis_versions import note_versions, versions_in
from headrace_features.online.store import (
    Change,
    Noted,
    Progress,
    Reading,
    Wanted,
    Written,
    newest,
    newest_times,
    views_noted,
)

if TYPE_CHECKING:
    from headrace_features.online.redis_connection import RedisConnection

# Content has its epoch and sequence before it, as numbers that doubles hold.
_APPLY = """
local refused = 0
for at = 1, #ARGV, 2 do
    local held = redis.call('HGET', KEYS[1], ARGV[at])
    local older = false
    if held then
        local epoch, sequence = struct.unpack('>I4I8', held)
        local new_epoch, new_sequence = struct.unpack('>I4I8', ARGV[at + 1])
        older = new_epoch < epoch or (new_epoch == epoch and new_sequence < sequence)
    end
    if older then
        refused = refused + 1
    else
        redis.call('HSET', KEYS[1], ARGV[at], ARGV[at + 1])
    end
end
return refused
"""
_TOUCH = """
for at = 1, #ARGV, 2 do
    local held = redis.call('HGET', KEYS[1], ARGV[at])
    if not held or tonumber(held) < tonumber(ARGV[at + 1]) then
        redis.call('HSET', KEYS[1], ARGV[at], ARGV[at + 1])
    end
end
"""
_COVERS = """
local held = redis.call('HGET', KEYS[1], 'epoch')
local since = redis.call('HGET', KEYS[1], 'since_ms')
local newer = not held or tonumber(held) < tonumber(ARGV[1])
local less = held == ARGV[1] and tonumber(since) < tonumber(ARGV[2])
if newer or less then
    redis.call('HSET', KEYS[1], 'epoch', ARGV[1], 'since_ms', ARGV[2])
    if newer then redis.call('HDEL', KEYS[1], 'current_ms') end
end
"""
_CAUGHT_UP = """
if redis.call('HGET', KEYS[1], 'epoch') ~= ARGV[1] then return end
local held = redis.call('HGET', KEYS[1], 'current_ms')
if not held or tonumber(held) < tonumber(ARGV[2]) then
    redis.call('HSET', KEYS[1], 'current_ms', ARGV[2])
end
"""
# Where the store was emptied, the first to write says what for.
_ADVANCE = """
if ARGV[4] ~= '' then
    local views = redis.call('HGET', KEYS[1], 'views')
    if not views then redis.call('HSET', KEYS[1], 'views', ARGV[4])
    elseif views ~= ARGV[4] then return 'overtaken' end
end
local held = redis.call('HGET', KEYS[1], ARGV[1])
local offset = held and string.match(held, '^%-?%d+') or '-1'
if offset == ARGV[2] then redis.call('HSET', KEYS[1], ARGV[1], ARGV[3]) end
return offset
"""
_INCLUDE = """
local held = redis.call('HGET', KEYS[1], 'views')
local parts = redis.call('HLEN', KEYS[1]) - (held and 1 or 0)
local lacks = false
for at = 2, #ARGV do
    local there = held and string.find(' ' .. held .. ' ', ' ' .. ARGV[at] .. ' ', 1, true)
    lacks = lacks or not there
end
if lacks then redis.call('DEL', KEYS[1]) end
redis.call('HSET', KEYS[1], 'views', ARGV[1])
return (lacks and parts > 0) and 1 or 0
"""
_VIEWS = b"views"


class RedisStateStore(Generations):
    """The state of entities in Redis; safe for threads, processes and forks."""

    def __init__(
        self,
        connection: RedisConnection,
        prefix: str,
        patience_s: float | None = None,
        *,
        namespace: str = "",
    ) -> None:
        """Name where Redis is and what the keys begin with; nothing is sent yet.

        Args:
            connection: to it.
            prefix: of all keys.
            patience_s: how long reads are given that began under a former generation. None is as
                long as one may take of a cluster; of one node none is needed, as reads see that
                another generation has come.
            namespace: whose progress it keeps.
        """
        if patience_s is None:
            patience_s = connection.access.timeout_s if connection.access.address.cluster else 0.0
        super().__init__(connection, Keys(prefix, namespace), patience_s)
        self._namespace = namespace
        self._by_loop: dict[asyncio.AbstractEventLoop, AsyncRedisConnection] = {}

    def __reduce__(self) -> tuple[Any, ...]:
        make = partial(RedisStateStore, namespace=self._namespace)
        return make, (self.connection, self._keys.prefix, self._patience_s)

    def read(self, known: Mapping[str, Layers], wanted: Sequence[Wanted]) -> Reading:
        """The layers of some views and the fields of some entities, in one round trip."""
        with self.connection.commands() as client:
            answers = exchange(client, list(self._keys.reading(known, wanted)))
            return self._keys.read(known, wanted, answers)

    async def read_async(self, known: Mapping[str, Layers], wanted: Sequence[Wanted]) -> Reading:
        """The same for the tasks of an event loop, each of which has connections of its own."""
        async with self._of_this_loop().commands() as client:
            answers = await exchange_async(client, list(self._keys.reading(known, wanted)))
            return self._keys.read(known, wanted, answers)

    async def aclose(self) -> None:
        """End the connections of the running event loop; the next read makes new ones."""
        connection = self._by_loop.pop(asyncio.get_running_loop(), None)
        if connection is not None:
            await connection.aclose()

    def _of_this_loop(self) -> AsyncRedisConnection:
        loop = asyncio.get_running_loop()
        if loop not in self._by_loop:
            # What loops that have ended left open can't be ended any more.
            for ended in [one for one in list(self._by_loop) if one.is_closed()]:
                self._by_loop.pop(ended, None)
            self._by_loop[loop] = AsyncRedisConnection(self.connection.access)
        return self._by_loop[loop]

    def apply(
        self,
        changes: Sequence[Change],
        progress: Mapping[int, Progress],
        held: Mapping[int, int],
        now_ms: int,
        views: Collection[str] = (),
    ) -> Written:
        """Put changes into the stream layer, then note how far that goes."""
        calls: list[Call] = []
        for (view, entity), fields in newest(changes).items():
            arguments: list[str | bytes] = []
            for change in fields.values():
                version = VERSION.pack(change.epoch, change.sequence)
                arguments += change.field, version + change.content
            calls.append(Call(_APPLY, (self._keys.stream(entity, view),), arguments))
        refused = sum(run(self.connection, calls))
        # Only when all nodes have what came before it.
        noted = [
            Call(_TOUCH, (self._keys.view(view),), ("event_time_ms", time_ms, "written_ms", now_ms))
            for view, time_ms in newest_times(changes).items()
        ]
        written_for = views_noted(views)
        noted += [
            Call(
                _ADVANCE,
                (self._keys.progress,),
                (part, held[part], f"{one.next_offset}:{one.current_ms}", written_for),
            )
            for part, one in progress.items()
        ]
        answers = run(self.connection, noted)[len(noted) - len(progress) :]
        if b"overtaken" in answers:
            return Written(refused, {}, overtaken=True)
        found = {part: int(answer) for part, answer in zip(progress, answers, strict=True)}
        resume = {part: max(at, 0) for part, at in found.items() if at != held[part]}
        return Written(refused, resume)

    def include(self, views: Collection[str]) -> bool:
        """Have the stream layer hold every update of some views; whether it has to begin again."""
        arguments = (views_noted(views), *sorted(views))
        (began,) = run(self.connection, [Call(_INCLUDE, (self._keys.progress,), arguments)])
        return bool(began)

    def progress(self) -> dict[int, Progress]:
        """How far the stream layer has come, by partition."""
        with self.connection.commands() as client:
            held = client.hgetall(self._keys.progress)
        held.pop(_VIEWS, None)
        return {int(part): Progress(*map(int, one.split(b":"))) for part, one in held.items()}

    def covers(self, view: str, epoch: int, since_ms: int) -> None:
        """Note from when on a deployment and those that go on from it have all events of a view."""
        run(self.connection, [Call(_COVERS, (self._keys.view(view),), (epoch, since_ms))])

    def caught_up(self, views: Mapping[str, int], current_ms: int) -> None:
        """Note that the stream layer has all events of some views that were sent by a time.

        Raises:
            RetryableError: Redis was set to drop keys since it was connected, or has lost some.
        """
        with self.connection.commands() as client:
            require_no_losses(client, self._keys, views)
        run(
            self.connection,
            [
                Call(_CAUGHT_UP, (self._keys.view(view),), (epoch, current_ms))
                for view, epoch in views.items()
            ],
        )

    def versions(self) -> Noted:
        """The document of versions."""
        return versions_in(self.connection, self._keys)

    def note_versions(self, content: bytes, held: int) -> bool:
        """Put another document of versions in the place of the one that has a number."""
        return note_versions(self.connection, self._keys, content, held)

    def contents(self, view: str) -> Iterator[tuple[bytes, str, bytes]]:
        """Entity, field and content of the stream layer of a view, some at a time."""
        return contents_in(self.connection, self._keys, view)

    def sizes(self) -> list[LayerSize]:
        """What each layer of each view takes, of all views that anything is kept of."""
        return sizes_in(self.connection, self._keys)

    def drop(self, views: Collection[str]) -> None:
        """Delete all that is kept of some views, and the progress of the namespace before it."""
        drop_from(self.connection, self._keys, views)

    def remove(self) -> None:
        """Delete everything that is kept under the prefix, but the document of versions.

        And but the number of the newest generation: one that somebody builds meanwhile is not to
        have the number of a later one.
        """
        kept = {self._keys.generations, self._keys.versions}
        with self.connection.commands() as client:
            for some in batched(client.scan_iter(match=self._keys.all, count=AT_ONCE), AT_ONCE):
                pipe = client.pipeline(transaction=False)
                for key in some:
                    if key not in kept:
                        pipe.unlink(key)
                pipe.execute()
            # A writer that has noticed that and begun again may have lost of that what it had
            # written before it was looked at.
            client.unlink(self._keys.first_progress)
            for key in client.scan_iter(match=self._keys.other_progress, count=AT_ONCE):
                client.unlink(key)
            for key in self._keys.marks:
                client.unlink(key)
