"""Generations of batch layers in Redis.

One that is built anew has keys of its own. One that goes on from another has what differs beside
its base, until no reader can be at the former one any more; then it is put with the base.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from headrace_features.leases import UNCLAIMED, Claim, Lease
from headrace_features.online.layers import Generation, Had, least_known
from headrace_features.online.redis_keys import (
    PENDING,
    VERSION,
    Keys,
    generation_of,
    named,
    pointer_to,
)
from headrace_features.online.redis_scripts import AT_ONCE, Call, batched, run
from headrace_features.online.store import (
    Row,
    being_materialized,
    nothing_before,
    overtaken,
    require_no_later,
)
from headrace_features.partials.encoding import pack, unpack
from headrace_features.state.stream import is_covered

if TYPE_CHECKING:
    from headrace_features.online.redis_connection import RedisConnection

#: What makes a store begin anew.
_ANEW = "headrace online rebuild"

# Who builds is "id:base:until:holder". One that was given up is noted until nothing is left of it.
_BEGIN = """
local held = redis.call('HGET', KEYS[1], 'building')
if held and held ~= ARGV[1] then
    local id, base, until_ms, holder = string.match(held, '^(%d+):(%d+):(%d+):(.*)$')
    if tonumber(until_ms) > tonumber(ARGV[2]) and holder ~= ARGV[3] and holder ~= ARGV[4] then
        return held
    end
    redis.call('HSET', KEYS[1], 'given_up:' .. id, base)
end
redis.call('HSET', KEYS[1], 'building', ARGV[1])
return false
"""
_RENEW = """
local held = redis.call('HGET', KEYS[1], 'building')
if not held then return 0 end
local id, base, until_ms, holder = string.match(held, '^(%d+):(%d+):(%d+):(.*)$')
if id ~= ARGV[1] then return 0 end
redis.call('HSET', KEYS[1], 'building', id .. ':' .. base .. ':' .. ARGV[2] .. ':' .. holder)
return 1
"""
_PUBLISH = """
if redis.call('HGET', KEYS[1], 'current') == ARGV[2] then return 1 end
local held = redis.call('HGET', KEYS[1], 'building')
if not held or string.match(held, '^%d+') ~= ARGV[1] then return 0 end
redis.call('HSET', KEYS[1], 'current', ARGV[2])
if ARGV[3] == '1' then redis.call('HSET', KEYS[1], 'pending', ARGV[1]) end
redis.call('HDEL', KEYS[1], 'building')
return 1
"""
_SETTLED = """
if redis.call('HGET', KEYS[1], 'pending') == ARGV[1] then
    redis.call('HDEL', KEYS[1], 'pending')
end
"""
# From what differs to the base; what is empty is gone.
_FOLD = """
local held = redis.call('HGETALL', KEYS[1])
for at = 1, #held, 2 do
    if held[at + 1] == '' then redis.call('HDEL', KEYS[2], held[at])
    else redis.call('HSET', KEYS[2], held[at], held[at + 1]) end
end
redis.call('DEL', KEYS[1])
"""


class Generations:
    """The batch layers of views in Redis, as `StateStore` promises them."""

    def __init__(self, connection: RedisConnection, keys: Keys, patience_s: float) -> None:
        self.connection = connection
        self._keys = keys
        self._patience_s = patience_s

    def begin(
        self,
        view: str,
        boundary_ms: int,
        claim: Claim = UNCLAIMED,
        *,
        goes_on: bool = False,
        above: int = 0,
    ) -> Generation:
        """Start a generation of a view's batch layer; one that was being built is given up.

        Raises:
            LeaseHeldError: somebody else is building one.
            ConfigurationError: readers have a generation with a later boundary already.
            RetryableError: there is none to go on from.
        """
        require_no_later(self._current(view), view, boundary_ms, _ANEW)
        with self.connection.commands() as client:
            number = int(client.incr(self._keys.generations))
            if number <= above:
                number = int(client.incrby(self._keys.generations, above + 1 - number))
        # What there is to go on from only counts once nobody else can change it.
        base = number if not goes_on else 0
        building = f"{number}:{base}:{claim.until_ms}:{claim.holder}"
        arguments = (building, claim.now_ms, claim.holder, claim.over or "")
        (held,) = run(self.connection, [Call(_BEGIN, (self._keys.view(view),), arguments)])
        if held:
            *_, until_ms, holder = held.decode().split(":", 3)
            claim.require_free(Lease(holder, int(until_ms)), being_materialized(view))
        self._tidy(view)
        if goes_on:
            current = self._current(view)
            if current is None:
                raise nothing_before(view)
            base = current.base
        return Generation(number, view, boundary_ms, base=base)

    def renew(self, generation: Generation, until_ms: int) -> None:
        """Hold the lease of a generation for longer.

        Raises:
            RetryableError: another writer has begun a generation of the same view since.
        """
        key = self._keys.view(generation.view)
        (held,) = run(self.connection, [Call(_RENEW, (key,), (generation.id, until_ms))])
        if not held:
            raise overtaken(generation.view)

    def kept(
        self, generation: Generation, wanted: Iterable[tuple[bytes, Sequence[str] | None]]
    ) -> list[Mapping[str, bytes]]:
        """What entities have in the generation that another one goes on from."""
        found: list[Mapping[str, bytes]] = []
        with self.connection.commands() as client:
            for some in batched(wanted, AT_ONCE):
                pipe = client.pipeline(transaction=False)
                for entity, fields in some:
                    key = self._keys.batch(entity, generation.view, generation.base)
                    if fields is None:
                        pipe.hgetall(key)
                    elif fields:
                        pipe.hmget(key, fields)
                answers = iter(pipe.execute())
                for _, fields in some:
                    asked = fields is None or fields
                    found.append(named(fields, next(answers)) if asked else {})
        return found

    def write(self, generation: Generation, rows: Iterable[Row]) -> int:
        """Add fields to a generation; returns how many.

        Raises:
            RetryableError: another writer has begun a generation of the same view since.
        """
        entities: dict[bytes, list[str | bytes]] = {}
        count = 0
        for row in rows:
            entities.setdefault(row.entity, []).extend((row.field, row.content))
            count += 1
        view, own = generation.view, generation.id
        with self.connection.commands() as client:
            self._require_building(client, view, own)
            if not generation.is_anew and entities:
                # First: what isn't found again would stay for ever.
                client.rpush(self._keys.written(view, own), pack(list(entities)))
            key_of = self._keys.batch if generation.is_anew else self._keys.differing
            for some in batched(entities.items(), AT_ONCE):
                self._require_building(client, view, own)
                pipe = client.pipeline(transaction=False)
                for entity, fields in some:
                    pipe.execute_command("HSET", key_of(entity, view, own), *fields)
                pipe.execute()
        return count

    def _require_building(self, client: Any, view: str, own: int) -> None:
        """See that a generation is still being built, before each round trip that adds to it.

        One that is overtaken after this writes what nobody reads, and publishes nothing. One that
        another process of the same run has published meanwhile writes what is there already.
        """
        building = client.hget(self._keys.view(view), "building")
        if building is None or int(building.split(b":", 1)[0]) != own:
            raise overtaken(view)

    def publish(self, generation: Generation, had: Had) -> None:
        """Let readers see a generation instead of the one before it, in one step.

        Raises:
            RetryableError: another writer has begun a generation of the same view since.
            ConfigurationError: readers have one with a later boundary by now.
        """
        view = generation.view
        before = self._current(view)
        if before is not None and before.id != generation.id:
            # A later layer is no mistake of whoever asked for this one, if it came meanwhile.
            with self.connection.commands() as client:
                self._require_building(client, view, generation.id)
            require_no_later(before, view, generation.boundary_ms, _ANEW)
        arguments = (generation.id, pointer_to(generation, had), int(not generation.is_anew))
        (done,) = run(self.connection, [Call(_PUBLISH, (self._keys.view(view),), arguments)])
        if not done:
            raise overtaken(view)
        if before is None:
            return
        # A read that began under the former one has ended by then.
        time.sleep(self._patience_s)
        if not generation.is_anew:
            self._settle(view, generation)
        self._sweep(view, generation.base, before, least_known(before.known_ms, had.known_ms))

    def _current(self, view: str) -> Generation | None:
        with self.connection.commands() as client:
            return generation_of(view, *client.hmget(self._keys.view(view), "current", PENDING))

    def _tidy(self, view: str) -> None:
        """Delete what generations that were given up have written; end what the newest left."""
        key = self._keys.view(view)
        current = self._current(view)
        if current is not None and current.pending:
            # It was killed when readers had it already: nobody is at the former one any more.
            self._settle(view, current)
        with self.connection.commands() as client:
            for name, base in client.hgetall(key).items():
                if not name.startswith(b"given_up:"):
                    continue
                number = int(name.partition(b":")[2])
                if number == int(base):
                    self._unlink(view, {number})
                else:
                    self._take_back(view, number)
                client.hdel(key, name)

    def _settle(self, view: str, generation: Generation) -> None:
        """Put what a generation has of its own with its base."""
        keys, own, base = self._keys, generation.id, generation.base
        written = keys.written(view, own)
        with self.connection.commands() as client:
            while (some := client.lindex(written, 0)) is not None:
                calls = [
                    Call(_FOLD, (keys.differing(one, view, own), keys.batch(one, view, base)))
                    for one in unpack(some)
                ]
                run(self.connection, calls)
                # By its content: somebody else may be at it as well.
                client.lrem(written, 1, some)
        run(self.connection, [Call(_SETTLED, (keys.view(view),), (own,))])

    def _take_back(self, view: str, own: int) -> None:
        """Delete what a generation has of its own."""
        written = self._keys.written(view, own)
        with self.connection.commands() as client:
            while (some := client.lindex(written, 0)) is not None:
                pipe = client.pipeline(transaction=False)
                for entity in unpack(some):
                    pipe.unlink(self._keys.differing(entity, view, own))
                pipe.execute()
                client.lrem(written, 1, some)

    def _unlink(self, view: str, generations: set[int]) -> None:
        """Delete all keys of generations that were built anew."""
        with self.connection.commands() as client:
            keys = client.scan_iter(match=self._keys.of(view), count=AT_ONCE)
            endings = {b"b%d" % number for number in generations}
            for some in batched(keys, AT_ONCE):
                pipe = client.pipeline(transaction=False)
                for key in some:
                    if self._keys.ending(view, key) in endings:
                        pipe.unlink(key)
                pipe.execute()

    def _sweep(self, view: str, base: int, kept: Generation, known_ms: int | None) -> None:
        """Delete what no reader of a generation, or of a later one, looks at."""
        with self.connection.commands() as client:
            keys = client.scan_iter(match=self._keys.of(view), count=AT_ONCE)
            for some in batched(keys, AT_ONCE):
                pipe = client.pipeline(transaction=False)
                streams = []
                for key in some:
                    ending = self._keys.ending(view, key)
                    if ending == b"s":
                        streams.append(key)
                    elif ending is not None and int(ending[1:]) < base:
                        pipe.unlink(key)
                for key in streams:
                    pipe.hgetall(key)
                answers = pipe.execute()
                for key, held in zip(streams, answers[len(answers) - len(streams) :], strict=True):
                    covered = [
                        name
                        for name, content in held.items()
                        if is_covered(
                            name.decode(), content[VERSION.size :], kept.whole_ms, known_ms
                        )
                    ]
                    if covered:
                        pipe.hdel(key, *covered)
                pipe.execute()
