"""How far a topic is committed, looked at from outside: no record is read while others work."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple

from headrace_schemas.errors import RetryableError
from headrace_schemas.kafka_clients import unreachable

if TYPE_CHECKING:
    from confluent_kafka.admin import AdminClient

# Those who work at the same time may need all of the machine.
_TIMEOUT_S = 60.0
_CALL_S = 10.0
_POLL_S = 0.2
_CHECK_S = 2.0
# Longer than partitions that are silent hold a watermark back, and a checkpoint takes.
_QUIET_S = 8.0
_STALL_S = 180.0


class Sample(NamedTuple):
    """How many records were committed at a moment, by a clock that only goes forward."""

    at_s: float
    records: int


class Committed:
    """The committed part of a topic.

    Attributes:
        starts: the `ends` when this was made. Make it before whoever writes is started: by the
            time that he is found to run, his first records may be committed.
    """

    def __init__(self, kafka: Mapping[str, str], topic: str) -> None:
        from confluent_kafka.admin import AdminClient

        self._kafka = kafka
        self._topic = topic
        self._admin: AdminClient = AdminClient({**kafka, "log_level": "0"})
        self.starts = self.ends()
        self._started_s = time.monotonic()

    def count(self) -> int:
        """What a reader of committed records could have had: the sum of `ends`.

        The markers by which transactions end are counted too, a few for each checkpoint.
        """
        return sum(self.ends().values())

    def ends(self) -> dict[int, int]:
        """The last stable offset of each partition: what lies before it is committed.

        Raises:
            RetryableError: the broker doesn't answer.
        """
        from confluent_kafka import KafkaException

        deadline = time.monotonic() + _TIMEOUT_S
        while time.monotonic() < deadline:
            # A topic that was just made is not known everywhere yet.
            with suppress(KafkaException):
                if found := self._ends():
                    return found
            time.sleep(_POLL_S)
        raise unreachable(self._kafka["bootstrap.servers"])

    def _ends(self) -> dict[int, int]:
        from confluent_kafka import IsolationLevel, TopicPartition
        from confluent_kafka.admin import OffsetSpec  # type: ignore[attr-defined] # it does

        topic = self._admin.list_topics(self._topic, timeout=_CALL_S).topics[self._topic]
        if not topic.partitions:
            return {}
        newest = OffsetSpec.latest()  # type: ignore[no-untyped-call] # it has no types
        told = self._admin.list_offsets(
            {TopicPartition(self._topic, number): newest for number in topic.partitions},
            isolation_level=IsolationLevel.READ_COMMITTED,
            request_timeout=_CALL_S,
        )
        return {place.partition: one.result().offset for place, one in told.items()}

    def watch(
        self, wanted: int, advance: Callable[[int], None], check: Callable[[], None]
    ) -> list[Sample]:
        """Look again and again until as many more are committed as wanted and no more come.

        Args:
            wanted: how many records there will be, beside those before the starts.
            advance: is told how many there are.
            check: is called now and then; raises an error where waiting is in vain.

        Returns:
            All samples, the first of them from when this was made.

        Raises:
            RetryableError: no more came before there were enough.
        """
        before = sum(self.starts.values())
        samples = [Sample(self._started_s, 0)]
        changed_s = checked_s = time.monotonic()
        while True:
            time.sleep(_POLL_S)
            if time.monotonic() - checked_s > _CHECK_S:
                check()
                checked_s = time.monotonic()
            now = Sample(time.monotonic(), self.count() - before)
            if now.records > samples[-1].records:
                changed_s = now.at_s
            samples.append(now)
            advance(now.records)
            still_s = now.at_s - changed_s
            if now.records >= wanted and still_s > _QUIET_S:
                return samples
            if still_s > _STALL_S:
                raise RetryableError(
                    f"{self._topic} stands still at {now.records} of {wanted} records"
                )


def steady_rate(samples: Sequence[Sample], records: int, warm_share: float) -> float:
    """Records per second from the moment at which a share of them was committed to the last.

    Args:
        samples: the last is of all records; what it counts above `records` are markers, which are
            taken to be spread evenly.
        records: how many there are.
        warm_share: the share that is left out, while the JVM still compiles.
    """
    total = samples[-1].records
    start = next(one for one in samples if one.records >= warm_share * total)
    if start.records == total:
        # So few that one transaction held what is timed: from before the first one.
        start = samples[0]
    end = next(one for one in samples if one.records == total)
    return records * (end.records - start.records) / total / (end.at_s - start.at_s)
