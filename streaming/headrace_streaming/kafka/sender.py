"""Sends records at a rate, whatever the broker does: an open loop."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from headrace_schemas.errors import RetryableError, StoppedError
from headrace_schemas.kafka_clients import unreachable
from headrace_streaming.kafka.disorder import Sent

if TYPE_CHECKING:
    from confluent_kafka import KafkaError, Message, Producer

    #: Is told what became of a record: an error, or None and the record as it is on the broker.
    Note = Callable[[KafkaError | None, Message | None], None]

_FLUSH_S = 30.0
#: The key decides, as Kafka's clients in C choose.
ANY_PARTITION = -1
_TOLD_EVERY = 1_000


@dataclass(frozen=True, slots=True)
class SendReport:
    """How many records were sent, and in how long."""

    records: int
    seconds: float

    @property
    def rate(self) -> float:
        """Records per second."""
        return self.records / self.seconds if self.seconds else 0.0


def producer_config(config: Mapping[str, str]) -> dict[str, str | int | bool]:
    """The settings of a producer of events: none is lost or sent twice, and none waits long."""
    # A broker that has just started gives out its first number of a producer after some tries.
    return {**config, "enable.idempotence": True, "linger.ms": 2, "log_level": 0}


def send(
    config: Mapping[str, str],
    records: Iterable[Sent],
    rate: float | None = None,
    told: Callable[[int], None] = lambda _: None,
) -> SendReport:
    """Send records by an idempotent producer.

    Args:
        config: of Kafka's clients.
        records: in the order of sending.
        rate: records per second; None is as fast as the broker takes them.
        told: is told how many were sent so far.

    Raises:
        RetryableError: the broker doesn't take them.
        StoppedError: a person has ended it.
    """
    from confluent_kafka import Producer

    failed: list[KafkaError] = []

    def note(error: KafkaError | None, message: Message | None) -> None:
        del message
        if error is not None:
            failed.append(error)

    producer = Producer(producer_config(config))
    started = time.monotonic()
    count = 0
    stopped = False
    try:
        for record in _paced(records, rate, started):
            hand_over(producer, note, record.topic, record.value, record.key.encode())
            count += 1
            if count % _TOLD_EVERY == 0:
                told(count)
            if failed:
                break
    except KeyboardInterrupt:
        stopped = True
    left = producer.flush(_FLUSH_S)
    if failed:
        raise RetryableError(f"the broker refused a record: {failed[0].str()}")
    if left:
        raise unreachable(config["bootstrap.servers"])
    if stopped:
        raise StoppedError(f"interrupted; the first {count:,} records were sent")
    return SendReport(count, time.monotonic() - started)


def _paced(records: Iterable[Sent], rate: float | None, started: float) -> Iterator[Sent]:
    """Records, each when it is due; without a rate at once."""
    for number, record in enumerate(records):
        if rate is not None:
            _wait_until(started + number / rate)
        yield record


def hand_over(  # noqa: PLR0913, PLR0917 - what a record has
    producer: Producer,
    note: Note,
    topic: str,
    value: bytes | None,
    key: bytes | None,
    partition: int = ANY_PARTITION,
    headers: Sequence[tuple[str, bytes | None]] = (),
) -> None:
    """Hand a record over, once there is room for it; what becomes of it is told later or now."""
    from confluent_kafka import KafkaException

    while True:
        try:
            producer.produce(topic, value, key, partition, on_delivery=note, headers=list(headers))
        except BufferError:
            producer.poll(0.1)
        except KafkaException as error:
            # It is too large, or there is no such partition: this one will never be delivered.
            note(error.args[0], None)
            return
        else:
            producer.poll(0)
            return


def _wait_until(due: float) -> None:
    """Sleep until a time of the monotonic clock; one that has passed is not waited for."""
    ahead = due - time.monotonic()
    if ahead > 0:
        time.sleep(ahead)
