"""Deletes the records of a source's topic that nobody needs: the lake has them, all have read them.

The broker deletes records by their age alone. This one keeps those that the lake lacks, those that
some group of consumers has yet to read, and those that windows reach.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextlib import closing
from dataclasses import dataclass
from typing import Any, TypeAlias

from headrace_schemas.errors import ConfigurationError
from headrace_schemas.kafka_clients import unreachable
from headrace_streaming.kafka.positions import Positions

#: By partition, before which offset the lake has all of the topic with an identity.
CoveredBy: TypeAlias = Callable[[int], Mapping[int, int]]

_TIMEOUT_S = 10.0
_INT64 = (1 << 63) - 1


@dataclass(frozen=True, slots=True)
class TopicUpkeep:
    """What was done for a topic, or would be.

    Attributes:
        topic: its name.
        records: how many there were.
        deleted: how many that nobody needs.
        lacking: how many the lake has not taken in.
        expires_ms: when the broker begins to delete those, ms UTC; None where it doesn't.
        kept_for: what has kept most of the others.
    """

    topic: str
    records: int
    deleted: int
    lacking: int
    expires_ms: int | None
    kept_for: str


def keep_up(  # noqa: PLR0913 - what it is told from
    config: Mapping[str, str],
    topic: str,
    *,
    covered: CoveredBy,
    reached_since_ms: int | None,
    own_groups: Iterable[str],
    dry_run: bool = False,
) -> TopicUpkeep:
    """Delete what nobody needs of a topic.

    Args:
        config: of the broker.
        topic: its name.
        covered: what the lake has.
        reached_since_ms: since when windows reach events, ms UTC; None is always.
        own_groups: those of the jobs that go on with the topic: what one hasn't told that it has
            read stays. Of other groups that is so of those that have told anything.
        dry_run: delete nothing.

    Raises:
        ConfigurationError: there is no such topic, or the broker doesn't let it be changed.
        RetryableError: the broker doesn't answer.
    """
    # Held here: what it has been asked is not answered once it is gone.
    admin = _Admin(config)
    with closing(Positions(config)) as positions:
        ends = positions.ends(topic)
        taken = covered(admin.identity(topic))
        limits: dict[str, Mapping[int, int]] = {"the lake": {n: taken.get(n, 0) for n in ends}}
        if reached_since_ms is None:
            limits["windows without an end"] = dict.fromkeys(ends, 0)
        else:
            limits["windows"] = positions.since(topic, reached_since_ms)
        own = {*own_groups}
        for group in sorted(own | admin.groups()):
            with closing(Positions(config, group)) as theirs:
                read = theirs.reached(topic)
            if group in own or read:
                limits[f"group {group}"] = {n: read.get(n, 0) for n in ends}
        cut = {
            number: max(oldest, min(limit.get(number, oldest) for limit in limits.values()))
            for number, (oldest, _) in ends.items()
        }
        found = TopicUpkeep(
            topic=topic,
            records=sum(end - oldest for oldest, end in ends.values()),
            deleted=sum(cut[number] - oldest for number, (oldest, _) in ends.items()),
            lacking=sum(
                end - min(max(taken.get(number, 0), oldest), end)
                for number, (oldest, end) in ends.items()
            ),
            expires_ms=_expires_ms(admin, positions, topic, taken),
            kept_for=min(limits, key=lambda name: sum(limits[name].values())),
        )
    if found.deleted and not dry_run:
        admin.delete(topic, cut)
    return found


def _expires_ms(
    admin: _Admin, positions: Positions, topic: str, taken: Mapping[int, int]
) -> int | None:
    """When the broker begins to delete what the lake lacks, ms UTC."""
    kept_ms = admin.retention_ms(topic)
    if kept_ms < 0:
        return None
    sent = []
    for number, (oldest, end) in positions.ends(topic).items():
        start = max(taken.get(number, 0), oldest)
        first = positions.first_from(topic, number, start) if start < end else None
        if first is not None:
            sent.append(first.timestamp()[1])
    return min(sent) + kept_ms if sent else None


class _Admin:
    """What a broker tells and does to those who look after it."""

    def __init__(self, config: Mapping[str, str]) -> None:
        from confluent_kafka.admin import AdminClient

        self._servers = config["bootstrap.servers"]
        self._client = AdminClient({**config, "socket.timeout.ms": "10000", "log_level": "0"})

    def identity(self, topic: str) -> int:
        """The number by which the lake knows a topic from another of its name; see its ingest."""
        from confluent_kafka import TopicCollection

        asked = TopicCollection([topic])
        told = self._client.describe_topics(asked, request_timeout=_TIMEOUT_S)
        known = self._answer(told[topic]).topic_id
        high, low = known.get_most_significant_bits(), known.get_least_significant_bits()
        return int((high ^ low) & _INT64)

    def groups(self) -> set[str]:
        """All groups of consumers that there are."""
        listed = self._client.list_consumer_groups(request_timeout=_TIMEOUT_S)
        return {group.group_id for group in self._answer(listed).valid}

    def retention_ms(self, topic: str) -> int:
        """How long a topic keeps its records, ms; -1 is for ever."""
        from confluent_kafka.admin import ConfigResource  # type: ignore[attr-defined] # it is

        wanted = ConfigResource("topic", topic)
        told = self._client.describe_configs([wanted], request_timeout=_TIMEOUT_S)
        return int(self._answer(told[wanted])["retention.ms"].value)

    def delete(self, topic: str, before: Mapping[int, int]) -> None:
        """Delete the records of a topic before some offsets."""
        from confluent_kafka import TopicPartition

        places = [TopicPartition(topic, number, offset) for number, offset in before.items()]
        for done in self._client.delete_records(places, request_timeout=_TIMEOUT_S).values():
            self._answer(done)

    def _answer(self, future: Any) -> Any:
        from confluent_kafka import KafkaException

        try:
            return future.result(_TIMEOUT_S)
        except TimeoutError as error:
            raise unreachable(self._servers) from error
        except KafkaException as error:
            said = error.args[0]
            if said.code() < 0 or said.retriable():
                # Of the client's own: it has no answer.
                raise unreachable(self._servers) from error
            raise ConfigurationError(
                f"the Kafka broker at {self._servers} refuses that: {said.str()}",
                hint="who looks after topics has to be allowed to describe topics and groups, and"
                " to delete records",
            ) from error
