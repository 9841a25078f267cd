"""The consumer of updates: its group, what it reads, and the places of the partitions it has."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from headrace_features.online.store import Progress
from headrace_schemas.errors import ConfigurationError
from headrace_schemas.kafka_clients import unreachable
from headrace_streaming.job.assembly import job_name
from headrace_streaming.kafka.positions import record_of
from headrace_streaming.kafka.topics import updates_in
from headrace_streaming.writer.places import Place, Read

if TYPE_CHECKING:
    from confluent_kafka import Consumer, KafkaError, TopicPartition

    from headrace_features.project import Project

    #: How far the store has come; None if it doesn't answer.
    Known = Callable[[], Mapping[int, Progress] | None]

_ASK_S = 1.0
_CONFIG = {
    "enable.auto.commit": False,
    "auto.offset.reset": "earliest",
    "partition.assignment.strategy": "cooperative-sticky",
    # A process that is stopped is missed after these; one that is alive tells so from a thread.
    "session.timeout.ms": 6_000,
    "heartbeat.interval.ms": 1_500,
    # What is fetched ahead of the batch in hand.
    "queued.max.messages.kbytes": 16_384,
    "fetch.wait.max.ms": 100,
    "topic.metadata.refresh.interval.ms": 5_000,
    "log_level": 0,
}


def writer_group(full_name: str) -> str:
    """The group of consumers that a project's online writers are."""
    return f"{job_name(full_name)}-online-writer"


class Membership:
    """One member of the group, for one thread; its partitions are read from where the store is.

    `places` has the partitions that may be written: a place is thrown away when its partition is
    taken away, or has to be read from elsewhere, and nothing that was read before is written then.
    """

    def __init__(
        self,
        config: Mapping[str, Any],
        project: Project,
        known: Known,
        told: Callable[[str], None],
    ) -> None:
        from confluent_kafka import Consumer

        self._topic = updates_in(project)
        self._servers = config["bootstrap.servers"]
        self._known = known
        self._told = told
        self._misplaced: set[int] = set()
        self._held_up = False
        self._away = False
        self.places: dict[int, Place] = {}
        self._refused: KafkaError | None = None
        self._consumer = Consumer(
            {
                **_CONFIG,
                **config,
                "group.id": writer_group(project.full_name),
                "error_cb": self._note,
            }
        )
        self._consumer.subscribe(
            [self._topic],
            on_assign=self._assigned,
            on_revoke=self._revoked,
            on_lost=self._revoked,
        )

    def poll(self, timeout_s: float) -> Read | None:
        """The next record of a partition that may be written; None if none comes in time.

        Raises:
            ConfigurationError: the broker doesn't let us.
        """
        message = self._consumer.poll(timeout_s)
        if self._refused is not None:
            raise _refused(self._refused, self._servers)
        if message is None:
            return None
        error = message.error()
        if error is not None:
            self._note(error)
            return None
        self._came_back()
        partition, offset = record_of(message)
        if self._held_up and partition in self.places:
            # It was on its way when reading was held up, and is not looked at.
            self.misplace([partition])
        place = self.places.get(partition)
        return None if place is None else Read(place, offset, message.value())

    def still(self, read: Read) -> bool:
        """Whether a record is of a partition that may be written, and has been since."""
        return self.places.get(read.place.partition) is read.place

    def misplace(self, partitions: Iterable[int]) -> None:
        """Have partitions read from where the store is by then; what was read of them is void."""
        for partition in partitions:
            if self.places.pop(partition, None) is not None:
                self._misplaced.add(partition)
        self._hold(self._misplaced)

    @property
    def misplaced(self) -> bool:
        """Whether partitions wait for `replace`."""
        return bool(self._misplaced)

    def replace(self, known: Mapping[int, Progress]) -> None:
        """Go on with misplaced partitions from where the store is."""
        from confluent_kafka import KafkaException

        for partition in sorted(self._misplaced):
            place = Place.after(partition, known.get(partition))
            try:
                self._consumer.seek(_start(self._topic, place))
                if not self._held_up:
                    self._consumer.resume([_partition(self._topic, partition)])
            except KafkaException:
                # It isn't read yet, or any more; else it is tried again.
                continue
            self._misplaced.discard(partition)
            self.places[partition] = place

    def hold_up(self) -> None:
        """Read nothing until `go_on`, and stay a member."""
        if not self._held_up:
            self._held_up = True
            self._hold(self.places)

    def go_on(self) -> None:
        """Read again."""
        self._held_up = False
        self._consumer.resume([_partition(self._topic, one) for one in self.places])

    def ask_ends(self, now_ms: Callable[[], int]) -> None:
        """Learn where the partitions end, if the broker answers."""
        from confluent_kafka import KafkaException

        for place in list(self.places.values()):
            at_ms = now_ms()
            try:
                oldest, end = self._consumer.get_watermark_offsets(
                    _partition(self._topic, place.partition), timeout=_ASK_S
                )
            except KafkaException as error:
                self._note(error.args[0])
                return
            self._came_back()
            if not place.ended_at(oldest, end, at_ms):
                self._told(f"{self._topic}/{place.partition} was made anew, and is read whole")
                # Where it isn't read yet, the broker says itself that there is no such offset.
                with suppress(KafkaException):
                    self._consumer.seek(_partition(self._topic, place.partition, place.upto))

    def commit(self, *, wait: bool = False) -> None:
        """Tell the broker how far the store is, for those who look at lags; errors don't matter."""
        from confluent_kafka import KafkaException, TopicPartition

        offsets = [
            TopicPartition(self._topic, place.partition, place.held)
            for place in self.places.values()
            if place.held >= 0
        ]
        if not offsets:
            return
        try:
            if wait:
                self._consumer.commit(offsets=offsets, asynchronous=False)
            else:
                self._consumer.commit(offsets=offsets, asynchronous=True)
        except KafkaException:
            return

    def close(self) -> None:
        """Leave the group."""
        self.commit(wait=True)
        self._consumer.close()

    def _assigned(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        known = self._known()
        places = [
            Place.after(one.partition, (known or {}).get(one.partition)) for one in partitions
        ]
        consumer.incremental_assign([_start(self._topic, place) for place in places])
        self.places |= {place.partition: place for place in places}
        if known is None:
            self.misplace([place.partition for place in places])
        elif self._held_up:
            self._hold(place.partition for place in places)

    def _revoked(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        for one in partitions:
            self.places.pop(one.partition, None)
            self._misplaced.discard(one.partition)
        consumer.incremental_unassign(partitions)

    def _hold(self, partitions: Iterable[int]) -> None:
        self._consumer.pause([_partition(self._topic, one) for one in partitions])

    def _note(self, error: KafkaError) -> None:
        """Take in what goes wrong between us and the broker; it is tried again by itself."""
        from confluent_kafka import KafkaError as Code

        if error.code() in {
            Code._AUTHENTICATION,  # noqa: SLF001 - its public name
            Code.TOPIC_AUTHORIZATION_FAILED,
            Code.GROUP_AUTHORIZATION_FAILED,
        }:
            self._refused = error
        elif not self._away:
            self._away = True
            self._told(f"{unreachable(self._servers).message}: {error.str()}; waiting for it")

    def _came_back(self) -> None:
        if self._away:
            self._away = False
            self._told(f"the Kafka broker at {self._servers} answers again")


def _partition(topic: str, number: int, offset: int | None = None) -> TopicPartition:
    from confluent_kafka import TopicPartition

    if offset is None:
        return TopicPartition(topic, number)
    return TopicPartition(topic, number, offset)


def _start(topic: str, place: Place) -> TopicPartition:
    from confluent_kafka import OFFSET_BEGINNING

    return _partition(topic, place.partition, place.upto if place.held >= 0 else OFFSET_BEGINNING)


def _refused(error: KafkaError, servers: str) -> ConfigurationError:
    return ConfigurationError(
        f"the Kafka broker at {servers} lets nobody in so: {error.str()}",
        hint="see [kafka.options]: users, passwords and certificates, and what they may do",
    )
