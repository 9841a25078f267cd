"""The topics of a project on a broker: the missing ones made, those that are there checked."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from headrace_features.state.layout import AS_OF_RETENTION_MS
from headrace_schemas.errors import ConfigurationError
from headrace_schemas.kafka_clients import unreachable
from headrace_schemas.topics import (
    DECISIONS,
    DEPLOYMENT_TOPIC,
    LATE_EVENTS,
    OUTPUTS,
    REPLAY_TOPIC,
    Topic,
    source_topic,
    topic_apart,
    updates_name,
    updates_topic,
)
from headrace_streaming.kafka.retention import keep_longer

if TYPE_CHECKING:
    from confluent_kafka import KafkaError
    from confluent_kafka.admin import AdminClient

    from headrace_features.definitions.views import FeatureView
    from headrace_features.project import Project

_TIMEOUT_S = 10.0


def topics_of(project: Project, *, live: bool = True) -> tuple[Topic, ...]:
    """The topics of a project's sources, then those that its job writes.

    Args:
        project: whose.
        live: whether its decisions are the project's; else there are topics for them beside these.
    """
    keys: dict[str, str] = {}
    # The first view of a source decides: its events have to arrive in the order of an entity's.
    for view in project.views.values():
        keys.setdefault(view.source.name, view.entity.join_key)
    sources = (
        source_topic(source.topic, keys.get(source.name, source.dedup_key))
        for source in project.sources.values()
    )
    reach_ms = reach_of(project.views.values())
    updates = updates_topic(-1 if reach_ms is None else reach_ms)
    own = replace(updates, name=updates_in(project))
    kept = (
        replace(one, name=topic_apart(one.name, project.name, project.namespace))
        for one in OUTPUTS
        if not live and one.name in {DECISIONS, LATE_EVENTS}
    )
    return (*sources, *OUTPUTS, own, *kept, DEPLOYMENT_TOPIC, REPLAY_TOPIC)


def reach_of(views: Iterable[FeatureView]) -> int | None:
    """How long views look back that may be asked for the past, ms; None where one has no end."""
    reaches = [view.lookback_ms for view in views]
    known = [reach for reach in reaches if reach is not None]
    return None if len(known) < len(reaches) else max(known, default=0) + AS_OF_RETENTION_MS


def updates_in(project: Project) -> str:
    """The name of the topic that the changed fields of a project's online state go to."""
    return updates_name(project.name, project.namespace)


def create_topics(config: Mapping[str, str], topics: Collection[Topic]) -> list[str]:
    """Make the topics that are missing; returns their names.

    Of those that are there, what only keeps the newest of each key is kept as long as it has to be.

    Raises:
        RetryableError: the broker can't be reached.
        ConfigurationError: a topic exists with another number of partitions, or the broker doesn't
            let the client in.
    """
    from confluent_kafka import KafkaError, KafkaException
    from confluent_kafka.admin import NewTopic  # type: ignore[attr-defined] # it is

    admin, said = _admin(config)
    existing = _partitions(admin, config, said)
    missing = [topic for topic in topics if topic.name not in existing]
    for topic in topics:
        _check(topic, existing.get(topic.name))
    keep_longer(admin, [one for one in topics if one.compacted and one.name in existing])
    if not missing:
        return []
    made = admin.create_topics(
        [NewTopic(t.name, t.partitions, config=dict(t.config)) for t in missing],
        request_timeout=_TIMEOUT_S,
    )
    created = []
    for name, future in made.items():
        try:
            future.result()
        except KafkaException as error:
            # Someone else has just made it.
            if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
                raise ConfigurationError(
                    f"topic {name} can't be created: {error.args[0].str()}"
                ) from error
        else:
            created.append(name)
    return created


def existing_topics(config: Mapping[str, str]) -> dict[str, int]:
    """The topics that there are, each with how many partitions it has.

    Raises:
        RetryableError: the broker can't be reached.
        ConfigurationError: it doesn't let the client in.
    """
    admin, said = _admin(config)
    return _partitions(admin, config, said)


def delete_topics(config: Mapping[str, str], topics: Collection[Topic]) -> None:
    """Delete topics and all they hold; one that isn't there is no error.

    Raises:
        RetryableError: the broker can't be reached.
    """
    from confluent_kafka import KafkaError, KafkaException
    from confluent_kafka.admin import AdminClient

    admin = AdminClient({**config, "socket.timeout.ms": "10000", "log_level": "0"})
    for future in admin.delete_topics([topic.name for topic in topics]).values():
        try:
            future.result()
        except KafkaException as error:
            if error.args[0].code() != KafkaError.UNKNOWN_TOPIC_OR_PART:
                raise unreachable(config["bootstrap.servers"]) from error


def _admin(config: Mapping[str, str]) -> tuple[AdminClient, list[KafkaError]]:
    """A client, and what it says of its trouble."""
    from confluent_kafka.admin import AdminClient

    said: list[KafkaError] = []
    options: dict[str, Any] = {**config, "socket.timeout.ms": "10000", "log_level": "0"}
    options["error_cb"] = said.append
    return AdminClient(options), said


def _partitions(
    admin: AdminClient, config: Mapping[str, str], said: Iterable[KafkaError]
) -> dict[str, int]:
    from confluent_kafka import KafkaError, KafkaException

    try:
        found = admin.list_topics(timeout=_TIMEOUT_S).topics
    except KafkaException as error:
        admin.poll(0)
        for one in said:
            if one.code() in (KafkaError._AUTHENTICATION, KafkaError._SSL):  # noqa: SLF001 - their names
                raise ConfigurationError(
                    f"the Kafka broker at {config['bootstrap.servers']} lets nobody in so:"
                    f" {one.str()}",
                    hint="see [kafka.options]: users, passwords and certificates",
                ) from error
        raise unreachable(config["bootstrap.servers"]) from error
    return {name: len(topic.partitions) for name, topic in found.items()}


def _check(topic: Topic, found: int | None) -> None:
    if found is not None and found != topic.partitions:
        raise ConfigurationError(
            f"topic {topic.name} has {found} partitions, expected {topic.partitions}",
            hint="records would lose their order if it were changed: delete the topic or take"
            " another broker",
        )
