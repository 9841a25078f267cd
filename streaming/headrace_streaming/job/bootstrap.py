"""Makes the state of a job out of events that Kafka may have no longer.

They go through topics of their own into a job that keeps the same state and decides nothing; once
a checkpoint has them all, it is stopped with a savepoint. The job that decides goes on from it, and
with Kafka where the events ended.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING

from headrace_schemas.errors import ConfigurationError, HeadraceError, RetryableError
from headrace_schemas.topics import Topic, history_topic
from headrace_streaming.job.assembly import history_job_name
from headrace_streaming.job.cluster import Cluster, Job
from headrace_streaming.job.deployment import (
    alone,
    definitions_for,
    end_history,
    require_stopped,
)
from headrace_streaming.job.submission import started, submit
from headrace_streaming.job.takeover import updates_of
from headrace_streaming.kafka.clients import kafka_config
from headrace_streaming.kafka.reading import ends, reached
from headrace_streaming.kafka.sender import send
from headrace_streaming.kafka.topics import create_topics, delete_topics, topics_of, updates_in

if TYPE_CHECKING:
    from headrace_features.project import Project
    from headrace_schemas.settings import Settings
    from headrace_streaming.kafka.disorder import Sent

_POLL_S = 0.5
#: A job that takes nothing in for so long will not go on.
_STALL_S = 120.0


def bootstrap(
    settings: Settings,
    project: Project,
    environ: Mapping[str, str],
    records: Iterable[Sent],
    told: Callable[[int], None] = lambda _: None,
) -> tuple[str, str]:
    """Make the state of a project's job out of the records of its sources.

    Args:
        settings: which cluster, which broker.
        project: whose views.
        environ: the variables for Flink's command.
        records: for the topics of the sources, in the order in which they became known.
        told: is told how many records were sent, then how many the state has.

    Returns:
        The path of a savepoint, and the name of the history: its updates are in a topic of their
        own until they are taken over.

    Raises:
        ConfigurationError: the job of the project runs, or the state can't be made.
        RetryableError: cluster or broker don't answer, or another command deploys the job.
    """
    with alone(settings.home, project) as lock:
        return _bootstrap(settings, project, environ, records, told, lock)


def _bootstrap(  # noqa: PLR0913, PLR0917 - what it needs
    settings: Settings,
    project: Project,
    environ: Mapping[str, str],
    records: Iterable[Sent],
    told: Callable[[int], None],
    lock: int,
) -> tuple[str, str]:
    cluster = Cluster.of(settings)
    require_stopped(cluster, project)
    end_history(cluster, project)
    kafka = kafka_config(settings)
    create_topics(kafka, topics_of(project))
    history = f"history-{uuid.uuid4().hex[:8]}"
    topics = [
        replace(topic, name=history_topic(topic.name, history), retention_ms=-1)
        for topic in topics_of(project)
        if topic.name in {source.topic for source in project.sources.values()}
    ]
    updates = updates_of(history, updates_in(project))
    try:
        create_topics(kafka, [*topics, updates])
        send(kafka, _renamed(records, history), told=told)
        arguments = ["--history", history, "--mode", "immediate"]
        arguments += definitions_for(settings.home, project)
        job_id = submit(settings, environ, cluster, arguments, held=lock)
        job = started(cluster, history_job_name(project.full_name), job_id)
        _wait(cluster, job, kafka, history, topics, told)
        return cluster.stop(job), history
    except BaseException:
        # Without its topics it would go on for ever. If that can't be done now, whoever deploys
        # next does it.
        with suppress(HeadraceError):
            end_history(cluster, project)
        with suppress(HeadraceError):
            delete_topics(kafka, [updates])
        raise
    finally:
        delete_topics(kafka, topics)


def require_present(
    kafka: Mapping[str, str], project: Project, starts: Mapping[str, Mapping[int, int]]
) -> None:
    """See that Kafka has everything from some offsets on.

    Raises:
        ConfigurationError: it has lost some, or the topic is another one by now.
        RetryableError: it doesn't answer.
    """
    for name, offsets in starts.items():
        topic = project.sources[name].topic
        for partition, (first, end) in ends(kafka, topic).items():
            start = offsets.get(partition, 0)
            if not first <= start <= end:
                raise ConfigurationError(
                    f"the lake has topic {topic} up to offset {start} of partition {partition},"
                    f" the broker has offsets {first} to {end}",
                    hint="run: headrace ingest --from-kafka",
                )


def _renamed(records: Iterable[Sent], history: str) -> Iterator[Sent]:
    for record in records:
        yield record._replace(topic=history_topic(record.topic, history))


def _wait(  # noqa: PLR0913, PLR0917 - what is waited for
    cluster: Cluster,
    job: Job,
    kafka: Mapping[str, str],
    history: str,
    topics: Iterable[Topic],
    told: Callable[[int], None],
) -> None:
    """Wait until a checkpoint has all records: then their offsets are committed."""
    wanted = {topic.name: ends(kafka, topic.name) for topic in topics}
    done, changed = -1, time.monotonic()
    while True:
        left = 0
        now = 0
        for name, places in wanted.items():
            come = reached(kafka, history, name)
            now += sum(come.values())
            left += sum(end > come.get(partition, 0) for partition, (_, end) in places.items())
        told(now)
        if not left:
            return
        if now > done:
            done, changed = now, time.monotonic()
        failed = next((one for one in cluster.jobs(job.name) if one.job_id == job.job_id), None)
        if failed is None or failed.ended:
            raise ConfigurationError(f"the state could not be made: {cluster.failure(job)}")
        if time.monotonic() - changed > _STALL_S:
            raise RetryableError(
                f"the job {job.name} takes in nothing any more: {cluster.failure(job)}",
                hint=f"see http://{cluster.address}",
            )
        time.sleep(_POLL_S)
