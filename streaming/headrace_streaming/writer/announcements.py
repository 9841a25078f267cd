"""The deployments of a project as they are announced, and when records about offsets were sent."""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import closing
from typing import TYPE_CHECKING

import msgspec

from headrace_schemas.topics import DEPLOYMENTS
from headrace_streaming.kafka.epochs import Deployed, announced, started, taken_over
from headrace_streaming.kafka.positions import Positions, is_end, reader, record_of
from headrace_streaming.writer.coverage import SentAround

if TYPE_CHECKING:
    from confluent_kafka import Message


class Announcements:
    """Follows the topic of deployments; for one thread."""

    def __init__(self, config: Mapping[str, str], project: str, namespace: str) -> None:
        from confluent_kafka import TopicPartition

        self._project = project
        self._namespace = namespace
        self.deployed: list[Deployed] = []
        #: See `line_of`.
        self.started: dict[int, int | None] = {}
        #: The deployments whose histories were taken over.
        self.taken_over: set[int] = set()
        #: Whether all that was there at first is among them.
        self.whole = False
        self._consumer = reader(config)
        # It has one partition. While there is no such topic, nothing comes.
        self._consumer.assign([TopicPartition(DEPLOYMENTS, 0, 0)])

    def look(self, patience_s: float = 0.0) -> bool:
        """Take in what was announced since the last look; whether there was something new.

        Args:
            patience_s: how long to wait for all that is there already.
        """
        before = self._known()
        deadline = time.monotonic() + patience_s
        while True:
            left_s = 0.0 if self.whole else max(deadline - time.monotonic(), 0.0)
            message = self._consumer.poll(left_s)
            if message is None:
                return self._known() != before
            if message.error() is not None:
                self.whole = self.whole or is_end(message)
            elif (one := self._read(message)) is not None:
                self.deployed.append(one)

    def _known(self) -> tuple[int, dict[int, int | None], frozenset[int]]:
        return len(self.deployed), dict(self.started), frozenset(self.taken_over)

    def close(self) -> None:
        """End its connections."""
        self._consumer.close()

    def _read(self, message: Message) -> Deployed | None:
        try:
            told = announced(message.value() or b"")
        except msgspec.DecodeError:
            # Somebody else's.
            return None
        if told is None:
            self._note(message)
        if told is None or (told.project, told.namespace) != (self._project, self._namespace):
            return None
        return Deployed(record_of(message)[1] + 1, message.timestamp()[1], told)

    def _note(self, message: Message) -> None:
        """Take in what is no announcement."""
        value = message.value() or b""
        if (began := started(value)) is not None:
            # Numbers are those of all projects and namespaces; others' are asked for by nobody.
            self.started[began.started] = began.goes_on_from
        elif (epoch := taken_over(value)) is not None:
            self.taken_over.add(epoch)


def sent_around(
    config: Mapping[str, str], topic: str, offsets: Mapping[int, int]
) -> dict[int, SentAround]:
    """By partition, when the records about an offset were sent.

    Raises:
        ConfigurationError: there is no such topic.
        RetryableError: the broker doesn't answer.
    """
    found = {}
    with closing(Positions(config)) as positions:
        held = positions.ends(topic)
        for partition, offset in offsets.items():
            oldest, end = held.get(partition, (0, 0))
            first = before = None
            if max(oldest, offset) < end:
                first = _sent_ms(positions.first_from(topic, partition, max(oldest, offset)))
            elif oldest < offset <= end:
                before = _sent_ms(positions.first_from(topic, partition, offset - 1))
            found[partition] = SentAround(first, before)
    return found


def _sent_ms(message: Message | None) -> int | None:
    """When a record was sent, if there is one that tells."""
    if message is None:
        return None
    kind, sent_ms = message.timestamp()
    return sent_ms if kind else None
