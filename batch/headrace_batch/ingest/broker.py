"""What the broker says about topics, asked by Kafka's own client in the JVM of Spark.

The same properties reach Kafka here as in the workers, and an answer that doesn't come is noticed
within seconds; Spark itself would try for minutes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from py4j.protocol import Py4JJavaError

from headrace_schemas.errors import ConfigurationError, HeadraceError
from headrace_schemas.kafka_clients import unreachable

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

_TIMEOUT_MS = 10_000
_INT64 = (1 << 63) - 1


@dataclass(frozen=True, slots=True)
class TopicNow:
    """A topic as it is at the moment.

    Attributes:
        name: its name.
        identity: a number that another topic of the same name, made later, has not.
        earliest: for each partition the offset of the oldest record that is still there.
        latest: for each partition the offset that the next record will get.
    """

    name: str
    identity: int
    earliest: Mapping[int, int]
    latest: Mapping[int, int]


class Broker:
    """The broker that some properties lead to."""

    def __init__(self, spark: SparkSession, properties: Mapping[str, str]) -> None:
        """Nothing is asked yet; `properties` are those of a client in Java."""
        self._jvm: Any = spark._jvm  # noqa: SLF001 - there is no public way to Kafka's client
        self._properties = properties
        self._servers = properties["bootstrap.servers"]

    def topic(self, name: str) -> TopicNow:
        """One topic.

        Raises:
            ConfigurationError: there is no such topic, or the broker refuses to say.
            RetryableError: no broker answers.
        """
        with self._admin(name) as admin:
            described = self._answer(admin.describeTopics([name]).allTopicNames()).get(name)
            known = described.topicId()
            partitions = [partition.partition() for partition in described.partitions()]
            spec = self._jvm.org.apache.kafka.clients.admin.OffsetSpec
            return TopicNow(
                name,
                (known.getMostSignificantBits() ^ known.getLeastSignificantBits()) & _INT64,
                self._offsets(admin, name, partitions, spec.earliest),
                self._offsets(admin, name, partitions, spec.latest),
            )

    def _offsets(
        self, admin: Any, name: str, partitions: list[int], which: Callable[[], Any]
    ) -> dict[int, int]:
        kafka = self._jvm.org.apache.kafka.common
        places = {number: kafka.TopicPartition(name, number) for number in partitions}
        asked = {place: which() for place in places.values()}
        found = self._answer(admin.listOffsets(asked).all())
        return {number: found.get(place).offset() for number, place in places.items()}

    def _answer(self, future: Any) -> Any:
        return future.get(2 * _TIMEOUT_MS, self._jvm.java.util.concurrent.TimeUnit.MILLISECONDS)

    @contextmanager
    def _admin(self, topic: str) -> Iterator[Any]:
        """A client for a few questions about a topic; what Kafka raises becomes one line."""
        try:
            admin = self._client()
            try:
                yield admin
            finally:
                admin.close(self._jvm.java.time.Duration.ZERO)
        except Py4JJavaError as error:
            raise self._explained(topic, error) from error

    def _client(self) -> Any:
        given = self._jvm.java.util.Properties()
        timeouts = ("default.api.timeout.ms", "request.timeout.ms")
        limits = dict.fromkeys(timeouts, str(_TIMEOUT_MS))
        for name, value in {**self._properties, **limits}.items():
            given.setProperty(name, value)
        try:
            return self._jvm.org.apache.kafka.clients.admin.AdminClient.create(given)
        except TypeError as error:
            # What py4j finds no class for is a package, which can't be called.
            raise ConfigurationError(
                "the active Spark session has no connector to Kafka",
                hint="add org.apache.spark:spark-sql-kafka-0-10_2.13 in the version of Spark, or"
                " stop it to have a session made",
            ) from error

    def _explained(self, topic: str, error: Py4JJavaError) -> HeadraceError:
        cause = error.java_exception
        while cause.getCause() is not None:
            cause = cause.getCause()
        kind = cause.getClass().getSimpleName()
        if kind in {"TimeoutException", "DisconnectException"}:
            return unreachable(self._servers)
        if kind == "UnknownTopicOrPartitionException":
            return ConfigurationError(
                f"there is no topic {topic} on the broker at {self._servers}",
                hint="make it: headrace up does for the embedded broker",
            )
        return ConfigurationError(
            f"the Kafka broker at {self._servers} can't be asked: {kind}: {cause.getMessage()}",
            hint="see [kafka] bootstrap_servers and [kafka.options]",
        )
