"""Sends dead letters again once their cause is mended, each once.

Which were sent is told in a topic of its own, for ever: the offsets of a group of consumers are
forgotten after some idle days, and can't say that letters of one reason are done and others not.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING

import msgspec

from headrace_schemas.errors import ConfigurationError, RetryableError
from headrace_schemas.kafka_clients import unreachable
from headrace_schemas.topics import REPLAY_TOPIC, REPLAYS
from headrace_streaming.kafka.dead_letters import DeadLetter, dead_letters
from headrace_streaming.kafka.reading import records_now
from headrace_streaming.kafka.sender import hand_over, producer_config
from headrace_streaming.kafka.topics import create_topics

if TYPE_CHECKING:
    from confluent_kafka import KafkaError, Message, Producer

_FLUSH_S = 30.0
#: A crash makes letters of one batch be sent again, at most.
_BATCH = 500
#: How long a topic may be unknown to the broker before its letters count as undeliverable, ms.
_UNKNOWN_MS = 5_000


class Place(msgspec.Struct, frozen=True):
    """Which record of a source a letter is about; two letters may be about the same one.

    The time tells the records of a topic that was made anew from those of the former one.
    """

    topic: str
    partition: int
    offset: int
    timestamp_ms: int

    @classmethod
    def of(cls, letter: DeadLetter) -> Place:
        """The place of the record that a letter is about."""
        return cls(letter.topic, letter.partition, letter.offset, letter.timestamp_ms)

    def __str__(self) -> str:
        """As lists of dead letters show it."""
        return f"{self.topic}/{self.partition}/{self.offset}"


@dataclass(frozen=True, slots=True)
class Replay:
    """How many letters were sent again, and how many records there are no letters of the stream."""

    sent: int
    foreign: int


@dataclass(slots=True)
class _Outcome:
    """What became of the letters of a batch so far."""

    delivered: list[DeadLetter] = field(default_factory=list)
    refused: list[tuple[DeadLetter, KafkaError]] = field(default_factory=list)

    def note(self, letter: DeadLetter, error: KafkaError | None, message: Message | None) -> None:
        """Take down what became of a letter."""
        del message
        if error is None:
            self.delivered.append(letter)
        else:
            self.refused.append((letter, error))


def sent_again(config: Mapping[str, str]) -> set[Place]:
    """The records of which letters were sent again so far.

    Raises:
        RetryableError: the broker doesn't answer.
    """
    try:
        return _done(config)
    except ConfigurationError:
        # None has ever been: the topic that tells of them is made with the first.
        return set()


def replay(config: Mapping[str, str], reason: str | None = None) -> Replay:
    """Send dead letters to the partitions where they were, each once however often this is called.

    What was sent is taken down after the broker has it. Letters of one batch may so be sent again
    if this ends between the two, or if two are at it at once.

    Args:
        config: of Kafka's clients.
        reason: only those with this reason; the others stay.

    Raises:
        ConfigurationError: the broker has no topic of dead letters.
        RetryableError: the broker doesn't answer, or doesn't take all: those stay to be sent.
    """
    from confluent_kafka import Producer

    create_topics(config, [REPLAY_TOPIC])
    done = _done(config)
    limits = {"topic.metadata.propagation.max.ms": _UNKNOWN_MS}
    producer = Producer({**producer_config(config), **limits})
    foreign: list[Message] = []
    sent = 0
    refused: list[tuple[DeadLetter, KafkaError]] = []
    letters = _left(dead_letters(config, foreign.append), done, reason)
    while batch := list(islice(letters, _BATCH)):
        outcome = _send(producer, batch)
        _send_alone(producer, outcome)
        _remember(config, outcome.delivered)
        sent += len(outcome.delivered)
        refused += outcome.refused
        if len(outcome.delivered) + len(outcome.refused) < len(batch):
            raise unreachable(config["bootstrap.servers"])
    if refused:
        first, error = refused[0]
        raise RetryableError(
            f"{len(refused)} of {sent + len(refused)} dead letters were not delivered and stay, the"
            f" first of them {Place.of(first)}: {error.str()}"
        )
    return Replay(sent, len(foreign))


def _left(
    letters: Iterable[DeadLetter], done: set[Place], reason: str | None
) -> Iterator[DeadLetter]:
    """The letters that are to be sent; of several about one record the first."""
    for letter in letters:
        place = Place.of(letter)
        if place not in done and reason in {None, letter.reason}:
            done.add(place)
            yield letter


def _send(producer: Producer, letters: Iterable[DeadLetter]) -> _Outcome:
    """Send letters; what has no outcome after a while won't be sent any more either."""
    outcome = _Outcome()
    for letter in letters:
        note = partial(outcome.note, letter)
        hand_over(
            producer,
            note,
            letter.topic,
            letter.value,
            letter.key,
            letter.partition,
            letter.headers,
        )
    if producer.flush(_FLUSH_S):
        known = _Outcome(list(outcome.delivered), list(outcome.refused))
        # Else they would be delivered after all while nobody takes that down any more.
        producer.purge()
        return known
    return outcome


def _send_alone(producer: Producer, outcome: _Outcome) -> None:
    """Send those once more, each by itself, that the broker found too large together."""
    from confluent_kafka import KafkaError

    size = KafkaError.MSG_SIZE_TOO_LARGE
    together = [letter for letter, error in outcome.refused if error.code() == size]
    if len(together) > 1:
        outcome.refused = [one for one in outcome.refused if one[1].code() != size]
        for letter in together:
            alone = _send(producer, [letter])
            outcome.delivered += alone.delivered
            outcome.refused += alone.refused


def _remember(config: Mapping[str, str], letters: Iterable[DeadLetter]) -> None:
    """Take down that letters were sent.

    Raises:
        RetryableError: the broker doesn't take it.
    """
    from confluent_kafka import Producer

    outcome = _Outcome()
    producer = Producer(producer_config(config))
    for letter in letters:
        told = msgspec.json.encode({"reason": letter.reason})
        note = partial(outcome.note, letter)
        hand_over(producer, note, REPLAYS, told, msgspec.json.encode(Place.of(letter)))
    if producer.flush(_FLUSH_S) or outcome.refused:
        raise unreachable(config["bootstrap.servers"])


def _done(config: Mapping[str, str]) -> set[Place]:
    """The records that were sent again."""
    return {
        msgspec.json.decode(message.key() or b"", type=Place)
        for batch in records_now(config, REPLAYS)
        for message in batch
    }
