"""The topics of the stream: their names, partitions and how long records stay."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

DECISIONS = "decisions"
ALERTS = "alerts"
FEATURE_UPDATES = "feature-updates"
LATE_EVENTS = "late-events"
DEAD_LETTERS = "dead-letters"
DEPLOYMENTS = "deployments"
REPLAYS = "replays"

_DAY_MS = 86_400_000
#: Of every topic but those of deployments and replays.
PARTITIONS = 4
#: Of what the stream job writes: more than a record that it reads, and all that is said about it.
MOST_OUTPUT_BYTES = 8 << 20


@dataclass(frozen=True, slots=True)
class Topic:
    """One topic.

    Attributes:
        name: as brokers know it.
        key: what its records are keyed by, for people.
        partitions: how many there are; records of one key keep their order.
        retention_ms: how long a record stays at least, ms; -1 is for ever.
        compacted: whether only the newest record of each key has to stay.
        most_bytes: how large a record may be; None leaves it to the broker.
    """

    name: str
    key: str
    partitions: int = PARTITIONS
    retention_ms: int = 30 * _DAY_MS
    compacted: bool = False
    most_bytes: int | None = None
    config: Mapping[str, str] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Spell the configuration as brokers do."""
        config = {"retention.ms": str(self.retention_ms)}
        if self.compacted:
            config["cleanup.policy"] = "compact" if self.retention_ms < 0 else "compact,delete"
        if self.most_bytes is not None:
            config["max.message.bytes"] = str(self.most_bytes)
        object.__setattr__(self, "config", config)


def source_topic(name: str, key: str) -> Topic:
    """The topic of an event source, keyed by the entity that needs its events in order."""
    return Topic(name, key)


def history_topic(name: str, history: str) -> str:
    """The name of the topic that holds the history of a source's for a while."""
    return f"{name}.{history}"


def updates_name(project: str, namespace: str) -> str:
    """The name of the topic of updates of a project's namespace."""
    return f"{FEATURE_UPDATES}.{project}.{namespace}" if namespace else FEATURE_UPDATES


def apart(project: str, namespace: str) -> str:
    """What a job is known by whose decisions stay in its namespace; also in "" itself."""
    return f"{project}.{namespace or 'first'}"


def topic_apart(name: str, project: str, namespace: str) -> str:
    """The name of the topic for what such a job tells, in place of one that everybody reads."""
    return f"{name}.{apart(project, namespace)}"


def updates_topic(retention_ms: int) -> Topic:
    """The topic of changed fields of the online state, for as long as windows reach back."""
    key = "view, version, entity and field"
    return Topic(
        FEATURE_UPDATES,
        key,
        retention_ms=retention_ms,
        compacted=True,
        most_bytes=MOST_OUTPUT_BYTES,
    )


#: What the stream job writes beside the fields of the online state.
OUTPUTS = (
    Topic(DECISIONS, key="dedup key of the event", most_bytes=MOST_OUTPUT_BYTES),
    Topic(ALERTS, key="dedup key of the event", most_bytes=MOST_OUTPUT_BYTES),
    Topic(LATE_EVENTS, key="dedup key of the event", most_bytes=MOST_OUTPUT_BYTES),
    Topic(DEAD_LETTERS, key="key of the record", most_bytes=MOST_OUTPUT_BYTES),
)

#: One record for every deployment of a stream job; its offset numbers the deployment.
DEPLOYMENT_TOPIC = Topic(DEPLOYMENTS, key="project", partitions=1, retention_ms=-1)

#: One record for every dead letter that was sent again. It stays longer than any letter: for ever,
#: as no letter that is read anew from an old record may be sent once more.
REPLAY_TOPIC = Topic(
    REPLAYS, key="place of the record", partitions=1, retention_ms=-1, compacted=True
)
