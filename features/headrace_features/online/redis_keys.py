"""How keys are called in Redis, and what reads and their answers look like.

Under a prefix, which is the project's:

    <prefix>:<view>                             the layers of a view version
    <prefix>:progress                           how far the stream layer has come, by partition,
                                                and with which view versions
    <prefix>:progress@<namespace>               likewise in a namespace with a name
    <prefix>:versions                           the document of versions, and its number
    <prefix>:generations                        the number of the newest generation
    <prefix>:evicted                            the policy by which keys were dropped, if any
    <prefix>:mark:<number>                      in all parts of a cluster, to see that none was lost
    <prefix>:<view>:written:<generation>        of which entities a generation has fields of its own
    <prefix>:{<entity>}:<view>:b<generation>    fields of a batch layer that was built anew
    <prefix>:{<entity>}:<view>:d<generation>    what differs from it in one that goes on from it
    <prefix>:{<entity>}:<view>:s                fields of the stream layer

Most are hashes. All of an entity is in one slot of a cluster. A field of the stream layer begins
with its version. The bytes of an entity may be any; the keys of views have no brace, so that the
last one ends the entity.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from headrace_features.online.layers import (
    ALWAYS_MS,
    NEVER_MS,
    Generation,
    Had,
    Layers,
    StreamSpan,
)
from headrace_features.online.store import Reading, Wanted
from headrace_features.state.read import Found

#: What content of the stream layer begins with: epoch and sequence.
VERSION = struct.Struct(">IQ")
#: The field of a view that names a generation whose own fields aren't with its base yet.
PENDING = "pending"
_SPAN_FIELDS = (
    "current",
    PENDING,
    "epoch",
    "since_ms",
    "event_time_ms",
    "written_ms",
    "current_ms",
)
#: What a pattern doesn't take for itself.
_SPECIAL = re.compile(r"[\\*?\[\]]")
#: So many that every node of a cluster has some.
_MARKS = 128


class Keys:
    """How keys are called under a prefix, and what reads and their answers look like."""

    def __init__(self, prefix: str, namespace: str = "") -> None:
        self.prefix = prefix
        self._encoded = prefix.encode()
        self._literal = _literal(prefix)
        self.first_progress = f"{prefix}:progress".encode()
        self.progress = self.first_progress + (f"@{namespace}".encode() if namespace else b"")
        self.versions = f"{prefix}:versions".encode()
        self.generations = f"{prefix}:generations".encode()
        self.evicted = f"{prefix}:evicted".encode()
        self.marks = [f"{prefix}:mark:{number}".encode() for number in range(_MARKS)]
        self.all = f"{self._literal}:*"
        self.of_entities = f"{self._literal}:{{*}}:*"
        self.other_progress = f"{self._literal}:progress@*"

    def view(self, view: str) -> bytes:
        """The key of what is known of a view."""
        return f"{self.prefix}:{view}".encode()

    def written(self, view: str, generation: int) -> bytes:
        """The key of the entities of which a generation has fields of its own."""
        return f"{self.prefix}:{view}:written:{generation}".encode()

    def batch(self, entity: bytes, view: str, generation: int) -> bytes:
        """The key of an entity's batch layer as it was built anew, and what came to it."""
        return b"%b:{%b}:%b:b%d" % (self._encoded, entity, view.encode(), generation)

    def differing(self, entity: bytes, view: str, generation: int) -> bytes:
        """The key of what an entity has in a generation that goes on from another one."""
        return b"%b:{%b}:%b:d%d" % (self._encoded, entity, view.encode(), generation)

    def stream(self, entity: bytes, view: str) -> bytes:
        """The key of an entity's stream layer."""
        return b"%b:{%b}:%b:s" % (self._encoded, entity, view.encode())

    def of(self, view: str, endings: str = "[bs]*") -> str:
        """A pattern for the keys of all entities of a view, with some endings.

        It finds others as well: an entity may look like the rest of a key. See `ending`.
        """
        return f"{self._literal}:{{*}}:{_literal(view)}:{endings}"

    def all_of(self, view: str) -> str:
        """A pattern for all keys of a view but the one with what is known of it; see `is_of`."""
        return f"{self._literal}:*{_literal(view)}:*"

    def is_of(self, view: str, key: bytes) -> bool:
        """Whether a key is of an entity of a view, or of what a generation of it has written."""
        written = self.written(view, 0)[:-1]
        return self.ending(view, key) is not None or (
            key.startswith(written) and key[len(written) :].isdigit()
        )

    def ending(self, view: str, key: bytes) -> bytes | None:
        """How the key of an entity ends, which is by its layer; None if it is not of a view."""
        of, _, ending = key[key.rfind(b"}") + 1 :].rpartition(b":")
        return ending if of == b":" + view.encode() else None

    def view_and_ending(self, key: bytes) -> tuple[str, bytes]:
        """Of the key of an entity the view, and how it ends, which is by its layer."""
        of, _, ending = key[key.rfind(b"}") + 2 :].rpartition(b":")
        return of.decode(), ending

    def entity(self, key: bytes) -> bytes:
        """The entity that a key is of."""
        return key[len(self._encoded) + 2 : key.rindex(b"}")]

    def reading(
        self, known: Mapping[str, Layers], wanted: Sequence[Wanted]
    ) -> Iterator[tuple[Any, ...]]:
        """The commands of a read."""
        for view in known:
            yield ("HMGET", self.view(view), *_SPAN_FIELDS)
        for view, entities, fields, _ in wanted:
            batch = known[view].batch
            for entity in entities:
                for key in self._batches(entity, batch) if _some(fields) else ():
                    yield ("HGETALL", key) if fields is None else ("HMGET", key, *fields)
                yield ("HGETALL", self.stream(entity, view))
        # Once more: whatever changes fields that a generation has comes after the next one.
        for view in known:
            yield ("HGET", self.view(view), "current")
        # After all that it is about: what another document says nobody is to read may go then.
        yield ("HGET", self.versions, "number")

    def _batches(self, entity: bytes, batch: Generation | None) -> Iterator[bytes]:
        """The keys of an entity's batch layer, that of what differs first.

        It goes to the others at any moment: who reads it afterwards may find it in neither.
        """
        if batch is None:
            return
        if batch.pending:
            yield self.differing(entity, batch.view, batch.id)
        yield self.batch(entity, batch.view, batch.base)

    def read(
        self, known: Mapping[str, Layers], wanted: Sequence[Wanted], answers: Sequence[Any]
    ) -> Reading:
        """What the answers to those commands say."""
        begun, given = answers[: len(known)], iter(answers[len(known) :])
        *ended, noted = answers[len(answers) - len(known) - 1 :]
        versions = int(noted or 0)
        layers = {view: _layers(view, one) for view, one in zip(known, begun, strict=True)}
        moved = any(one[0] != later for one, later in zip(begun, ended, strict=True))
        if moved or any(layers[view].differs(before) for view, before in known.items()):
            return Reading(layers, None, versions)
        found = [self._found(layers[one.view], one, given) for one in wanted]
        return Reading(layers, found, versions)

    @staticmethod
    def _found(layers: Layers, wanted: Wanted, given: Iterator[Any]) -> list[Found]:
        fields = wanted.fields
        batched = layers.batch is not None and _some(fields)
        differing = layers.batch is not None and layers.batch.pending
        found = []
        for _ in wanted.entities:
            batch: dict[str, bytes] = {}
            if batched and differing:
                changed = named(fields, next(given))
                batch = {**named(fields, next(given)), **changed}
                batch = {name: content for name, content in batch.items() if content}
            elif batched:
                batch = named(fields, next(given))
            stream = {
                name.decode(): content[VERSION.size :] for name, content in next(given).items()
            }
            found.append(Found(batch, stream))
        return found


def named(fields: Sequence[str] | None, answer: Any) -> dict[str, bytes]:
    """The fields that an answer has."""
    if fields is None:
        return {name.decode(): content for name, content in answer.items()}
    pairs = zip(fields, answer, strict=True)
    return {name: content for name, content in pairs if content is not None}


def _literal(text: str) -> str:
    """A pattern for a text itself."""
    return _SPECIAL.sub(r"\\\g<0>", text)


def _some(fields: Sequence[str] | None) -> bool:
    """Whether any field of a batch layer is wanted; None is all there are."""
    return fields is None or bool(fields)


def pointer_to(generation: Generation, had: Had) -> str:
    """What names a generation and says what it has."""
    numbers = (
        generation.id,
        generation.base,
        generation.boundary_ms,
        had.written_ms,
        had.whole_ms,
        had.tiles,
        had.known_ms,
    )
    return ":".join(str(number) for number in numbers if number is not None)


def generation_of(view: str, pointer: bytes | None, pending: bytes | None) -> Generation | None:
    """The generation that a pointer names."""
    if pointer is None:
        return None
    number, base, boundary_ms, written_ms, whole_ms, tiles, *known = map(int, pointer.split(b":"))
    return Generation(
        id=number,
        view=view,
        boundary_ms=boundary_ms,
        written_ms=written_ms,
        whole_ms=whole_ms,
        known_ms=known[0] if known else None,
        tiles=tiles,
        base=base,
        pending=pending is not None and int(pending) == number,
    )


def _layers(view: str, answer: Sequence[bytes | None]) -> Layers:
    pointer, pending, epoch, since_ms, event_time_ms, written_ms, current_ms = answer
    stream = None
    if epoch is not None or written_ms is not None:
        stream = StreamSpan(
            int(epoch or -1),
            NEVER_MS if since_ms is None else int(since_ms),
            ALWAYS_MS if event_time_ms is None else int(event_time_ms),
            int(written_ms or 0),
            int(current_ms or 0),
        )
    return Layers(generation_of(view, pointer, pending), stream)
