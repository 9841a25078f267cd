"""Numbers of deployments: rising, unique on a broker, given out by the broker itself."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import chain
from typing import TYPE_CHECKING, Any

import msgspec

from headrace_schemas.kafka_clients import unreachable
from headrace_schemas.topics import DEPLOYMENTS
from headrace_streaming.kafka.reading import records_now

if TYPE_CHECKING:
    from confluent_kafka import Message

_TIMEOUT_S = 10.0


class Announcement(msgspec.Struct, frozen=True, kw_only=True):
    """What a deployment tells of itself; older ones have told less.

    Attributes:
        project: whose job it is.
        namespace: of the project's definitions.
        live: whether its decisions are the project's; else they stay in the namespace, and nobody
            is alerted.
        mode: when events are absorbed.
        restored_from: the state that it goes on from; None begins anew.
        newest_state: whether that is the newest one of the deployment before it; else it may take
            in again what that had taken in, and make older fields of it in the meantime.
        starts: by source and partition, the offset of the first record that its state is made of
            if it goes on from no earlier deployment.
        since_ms: where its state was made of the lake's events, for each source the event time from
            which on it has all of them, ms UTC; of those that aren't named it has all there are.
        history: the history that such a state was made of, whose updates are to be taken over.
        also_in_files: the sources that have events which never were in their topics.
        lateness_ms: how late an event may be and still count in full.
        out_of_orderness_ms: how far the watermark is behind the newest event of a partition.
        features: by view, the features that it declares.
        views: the keys under which it writes state for the online store, one for each view.
        contracts: by source, the JSON Schema of the contract that its events are held to.
        definitions: the project's, see `headrace_features.portable_project`.
    """

    project: str
    mode: str
    namespace: str = ""
    live: bool = True
    restored_from: str | None = None
    newest_state: bool = False
    starts: dict[str, dict[int, int]] | None = None
    since_ms: dict[str, int] | None = None
    history: str | None = None
    also_in_files: list[str] | None = None
    lateness_ms: int | None = None
    out_of_orderness_ms: int | None = None
    features: dict[str, list[str]] | None = None
    views: list[str] | None = None
    contracts: dict[str, dict[str, Any]] | None = None
    definitions: dict[str, Any] | None = None

    @property
    def bootstrapped(self) -> bool:
        """Whether its state was made of the lake's events, by no earlier deployment."""
        return self.since_ms is not None

    @property
    def anew(self) -> bool:
        """Whether it goes on from no earlier deployment."""
        return self.restored_from is None or self.bootstrapped


class Deployed(msgspec.Struct, frozen=True):
    """A deployment: its number, when it was announced (ms UTC), and what it told."""

    epoch: int
    at_ms: int
    told: Announcement


class Started(msgspec.Struct, frozen=True):
    """That the job of a deployment starts.

    Attributes:
        started: number of the deployment.
        goes_on_from: of the one whose state it goes on from, 0 where that is no deployment's;
            None where it doesn't tell, as older ones.
    """

    started: int
    goes_on_from: int | None = None


class TakenOver(msgspec.Struct, frozen=True):
    """That all updates of a deployment's history are among those of deployments by now."""

    taken_over: int


def claim_epoch(config: Mapping[str, str], announcement: Announcement) -> int:
    """The number of a new deployment: the offset of the record that announces it, from 1.

    Raises:
        RetryableError: the broker doesn't take the record.
    """
    return _sent(config, msgspec.json.encode(announcement), announcement.project.encode())


def tell_taken_over(config: Mapping[str, str], epoch: int) -> None:
    """Tell that the updates of a deployment's history were taken over.

    Raises:
        RetryableError: the broker doesn't take the record.
    """
    _sent(config, msgspec.json.encode(TakenOver(epoch)), None)


def _sent(config: Mapping[str, str], value: bytes, key: bytes | None) -> int:
    """Send a record to the topic of deployments; its number there, from 1."""
    from confluent_kafka import KafkaError, Producer

    claimed: list[int] = []

    def note(error: KafkaError | None, message: Message) -> None:
        offset = message.offset()
        if error is None and offset is not None:
            claimed.append(offset + 1)

    producer = Producer({**config, "acks": "all", "log_level": 0})
    producer.produce(DEPLOYMENTS, value, key, on_delivery=note)
    producer.flush(_TIMEOUT_S)
    if not claimed:
        raise unreachable(config["bootstrap.servers"])
    return claimed[0]


def deployments(
    config: Mapping[str, str], project: str, namespace: str | None = ""
) -> list[Deployed]:
    """The deployments of a project in a namespace, in their order; None is in all of them.

    Raises:
        ConfigurationError: the broker has no topic of deployments.
        RetryableError: it doesn't answer.
    """
    found = (_deployed(message, project, namespace) for message in _records(config))
    return [one for one in found if one is not None]


def pending_history(
    config: Mapping[str, str], project: str, namespace: str = ""
) -> Deployed | None:
    """The deployment that goes on from a history whose updates were not taken over yet, if any.

    Raises:
        ConfigurationError: the broker has no topic of deployments.
        RetryableError: it doesn't answer.
    """
    newest, done = None, set()
    for message in _records(config):
        done.add(taken_over(message.value() or b""))
        one = _deployed(message, project, namespace)
        if one is not None and one.told.anew:
            newest = one
    waits = newest is not None and newest.told.history and newest.epoch not in done
    return newest if waits else None


def _records(config: Mapping[str, str]) -> Iterator[Message]:
    return chain.from_iterable(records_now(config, DEPLOYMENTS))


def _deployed(message: Message, project: str, namespace: str | None) -> Deployed | None:
    """The deployment of a project that a record announces, if it does."""
    told = announced(message.value() or b"")
    if told is None or told.project != project or namespace not in {None, told.namespace}:
        return None
    return Deployed((message.offset() or 0) + 1, message.timestamp()[1], told)


def taken_over(value: bytes) -> int | None:
    """The deployment of which a record tells that its history was taken over; None of others."""
    try:
        return msgspec.json.decode(value, type=TakenOver).taken_over
    except msgspec.DecodeError:
        return None


def started(value: bytes) -> Started | None:
    """What a record tells of a job that starts; None of others."""
    try:
        return msgspec.json.decode(value, type=Started)
    except msgspec.DecodeError:
        return None


def announced(value: bytes) -> Announcement | None:
    """What a record of the topic announces; None if it tells that a deployment begins to work."""
    if "project" not in msgspec.json.decode(value):
        return None
    return msgspec.json.decode(value, type=Announcement)
