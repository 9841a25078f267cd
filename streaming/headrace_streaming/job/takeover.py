"""Takes over what was made of history: fields of the online store, once a job goes on from there.

Before that they are in a topic of their own. Of a job that never came to be nothing is in the store
then; and a job that has a checkpoint is what later deployments go on from.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from headrace_schemas.errors import RetryableError
from headrace_schemas.kafka_clients import unreachable
from headrace_schemas.topics import (
    MOST_OUTPUT_BYTES,
    Topic,
    history_topic,
    updates_name,
    updates_topic,
)
from headrace_streaming.kafka.epochs import tell_taken_over
from headrace_streaming.kafka.positions import record_of
from headrace_streaming.kafka.reading import records_now
from headrace_streaming.kafka.sender import hand_over, producer_config
from headrace_streaming.kafka.topics import delete_topics, existing_topics

if TYPE_CHECKING:
    from confluent_kafka import KafkaError, Message

    from headrace_streaming.job.cluster import Cluster, Job
    from headrace_streaming.kafka.epochs import Deployed

_POLL_S = 0.2
_TIMEOUT_S = 120.0
_FLUSH_S = 60.0
#: What keys begin with: a field that the job has changed since is not to be replaced by this one,
#: which an older number tells, where only the newest record of each key is kept.
_KEY = b"history|"


def take_over(kafka: Mapping[str, str], pending: Deployed, cluster: Cluster, job: Job) -> None:
    """Put the updates of a history among those of deployments.

    It may be repeated, wherever it was interrupted.

    Args:
        kafka: of Kafka's clients.
        pending: the deployment whose history waits for that.
        cluster: where its job runs.
        job: that, or one that goes on from it.

    Raises:
        RetryableError: the job makes no checkpoint, or the broker doesn't answer.
    """
    _wait(cluster, job)
    own = updates_name(pending.told.project, pending.told.namespace)
    updates = updates_of(str(pending.told.history), own)
    if updates.name in existing_topics(kafka):
        _copy(kafka, updates.name, own)
    tell_taken_over(kafka, pending.epoch)
    delete_topics(kafka, [updates])


def updates_of(history: str, updates: str) -> Topic:
    """The topic of the updates that are made of a history, before they are among others."""
    name = history_topic(updates, history)
    return replace(updates_topic(-1), name=name, compacted=False)


def _wait(cluster: Cluster, job: Job) -> None:
    """Wait until later deployments go on from a job."""
    deadline = time.monotonic() + _TIMEOUT_S
    while not cluster.checkpoints(job)["counts"]["completed"]:
        if time.monotonic() > deadline:
            raise RetryableError(
                f"the job {job.name} has made no checkpoint within {_TIMEOUT_S:.0f} s",
                hint="once it has: headrace stream deploy",
            )
        time.sleep(_POLL_S)


def _copy(kafka: Mapping[str, str], topic: str, into: str) -> None:
    from confluent_kafka import Producer

    failed: list[KafkaError] = []

    def note(error: KafkaError | None, message: Message | None) -> None:
        del message
        if error is not None:
            failed.append(error)

    most = {"message.max.bytes": MOST_OUTPUT_BYTES}
    producer = Producer({**producer_config(kafka), **most})
    for batch in records_now(kafka, topic):
        for message in batch:
            key, (partition, _) = _KEY + (message.key() or b""), record_of(message)
            hand_over(producer, note, into, message.value(), key, partition)
    if producer.flush(_FLUSH_S):
        raise unreachable(kafka["bootstrap.servers"])
    if failed:
        raise RetryableError(f"the broker refused an update: {failed[0].str()}")
