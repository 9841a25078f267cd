"""Records that the stream could not use: where each was, and why."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from headrace_schemas.topics import DEAD_LETTERS
from headrace_streaming.kafka.reading import records_now

if TYPE_CHECKING:
    from confluent_kafka import Message

    Headers = Iterable[tuple[str, bytes | None]]

#: What the names of the stream's own headers begin with.
_OURS = "headrace."


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A record as it was, where it was, and why it could not be used.

    Attributes:
        source: the event source whose topic it was in.
        topic: that topic.
        partition: its partition there.
        offset: its offset there.
        timestamp_ms: when it was sent, ms UTC.
        told_ms: when the stream put it aside, ms UTC.
        schema: the contract that it was held to.
        schema_version: which form of it, by its hash.
        reason: a code of the contracts.
        message: the reason in words.
        key: the key of the record, if it had one.
        value: its bytes, if it had any.
        headers: what the letter has besides what the stream tells of it.
    """

    source: str
    topic: str
    partition: int
    offset: int
    timestamp_ms: int
    told_ms: int
    schema: str
    schema_version: str
    reason: str
    message: str
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes | None], ...] = ()


def dead_letters(
    config: Mapping[str, str], foreign: Callable[[Message], None] = lambda _: None
) -> Iterator[DeadLetter]:
    """All that are there now, those of a partition in their order.

    Args:
        config: of Kafka's clients.
        foreign: is told each record there that doesn't say where it comes from: somebody else
            has put it there.

    Raises:
        ConfigurationError: the broker has no topic of dead letters.
        RetryableError: it doesn't answer, or has stopped to.
    """
    for batch in records_now(config, DEAD_LETTERS):
        for message in batch:
            letter = _letter(message)
            if letter is None:
                foreign(message)
            else:
                yield letter


def _letter(message: Message) -> DeadLetter | None:
    """What a record tells; None where it lacks some of what the stream tells of each."""
    headers: Headers = message.headers() or ()  # type: ignore[assignment] # pairs, when read
    told: dict[str, str] = {}
    further = []
    for name, value in headers:
        if name.startswith(_OURS):
            told[name.removeprefix(_OURS)] = (value or b"").decode(errors="replace")
        else:
            further.append((name, value))
    try:
        return DeadLetter(
            source=told["source"],
            topic=told["topic"],
            partition=int(told["partition"]),
            offset=int(told["offset"]),
            timestamp_ms=int(told["timestamp"]),
            told_ms=message.timestamp()[1],
            schema=told["schema"],
            schema_version=told["schema_version"],
            reason=told["reason"],
            message=told["message"],
            key=message.key(),
            value=message.value(),
            headers=tuple(further),
        )
    except (KeyError, ValueError):
        return None
