"""What a deployment of the stream job is told beside its plan."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from headrace_schemas.event_times import MOST_AHEAD_MS


class Mode(StrEnum):
    """When events are absorbed: on arrival, or in the order of time behind the watermark."""

    IMMEDIATE = "immediate"
    ORDERED = "ordered"


class StateBackend(StrEnum):
    """Where the job keeps its state: on the heap of the JVM, or on disk with a cache before it."""

    HASHMAP = "hashmap"
    ROCKSDB = "rocksdb"


@dataclass(frozen=True, slots=True)
class LakeState:
    """What a state has that was made of the lake's events.

    Attributes:
        starts: for each source and partition the offset with which Kafka goes on after it.
        since_ms: for each source it has all events from this time on, ms UTC; those that aren't
            named it has all of.
        history: the name of the history that it was made of.
    """

    starts: Mapping[str, Mapping[int, int]]
    since_ms: Mapping[str, int]
    history: str = ""


@dataclass(frozen=True, slots=True)
class JobConfig:
    """One deployment.

    Attributes:
        kafka: the properties of Kafka's clients in Java, those of TLS and SASL among them; never
            shown.
        epoch: number of the deployment; rises with every one. 0 before it is announced.
        mode: when events are absorbed.
        namespace: of the definitions; what it tells of the online state goes to topics of that.
        live: whether its decisions are the project's; else they stay in the namespace, and nobody
            is alerted.
        decided_since_ms: where its decisions become the project's: those of others about events
            that it meets were made since then, ms UTC.
        history: reads these topics of history, named by what is put to the names of the live ones,
            and writes nothing but the online state; None is a job that decides.
        goes_on: whether it begins with a state, which then has to have all views.
        newest_state: whether that is the newest state of the deployment before it.
        lake: what the state has that it begins with, if it was made of the lake's events. Else, and
            of partitions that are not named there, sources begin with their oldest record.
        bounded: end at the newest records of the start instead of going on for ever.
        lateness_ms: how long before an entity's clock values can still be asked for.
        dedup_ms: how long before an entity's newest event duplicates are recognised.
        out_of_orderness_ms: how far the watermark is behind the newest event of a partition.
        idle_ms: a partition that is silent for so long doesn't hold the watermark back.
        most_apart_ms: how far one partition may be read ahead of another, in the time of events.
        most_ahead_ms: how far an event may be ahead of the time at which it was sent.
        most_events: how many single events an entity may keep in a view.
        checkpoint_interval_ms: between the starts of checkpoints.
        transaction_timeout_ms: after so long the broker aborts a transaction that nobody has
            committed; it refuses more than its `transaction.max.timeout.ms`, 15 minutes by default.
        parallelism: how many subtasks each operator has.
        flink: further options of Flink; they may be secret and are never shown.
    """

    kafka: Mapping[str, str] = field(repr=False)
    epoch: int = 0
    mode: Mode = Mode.IMMEDIATE
    bounded: bool = False
    namespace: str = ""
    live: bool = True
    decided_since_ms: int = 0
    history: str | None = None
    goes_on: bool = False
    newest_state: bool = False
    lake: LakeState | None = None
    lateness_ms: int = 3_600_000
    dedup_ms: int = 3_600_000
    out_of_orderness_ms: int = 5_000
    idle_ms: int = 5_000
    most_apart_ms: int = 86_400_000
    most_ahead_ms: int = MOST_AHEAD_MS
    most_events: int = 100_000
    checkpoint_interval_ms: int = 1_000
    transaction_timeout_ms: int = 840_000
    parallelism: int = 2
    flink: Mapping[str, str] = field(default_factory=dict, repr=False)
