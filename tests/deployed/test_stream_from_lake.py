"""A job that begins with what the lake has decides as if it had seen all of it in Kafka."""

from __future__ import annotations

import json
import os
import random
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pytest
from confluent_kafka.admin import AdminClient

from headrace_batch.ingest.contract import contract_of
from headrace_batch.ingest.topic_run import ingest_topics
from headrace_features.feast_plugin import repository
from headrace_features.fraud import definitions as fraud
from headrace_features.online.stores import open_store
from headrace_features.project import load_project
from headrace_orchestration.lake_records import lake_records
from headrace_schemas.errors import RetryableError
from headrace_schemas.settings import Settings
from headrace_schemas.topics import FEATURE_UPDATES, history_topic, source_topic
from headrace_streaming.job import deployment, submission
from headrace_streaming.job.assembly import history_job_name, job_name
from headrace_streaming.job.bootstrap import bootstrap
from headrace_streaming.job.cluster import Cluster
from headrace_streaming.job.last_state import recall
from headrace_streaming.kafka.clients import kafka_config
from headrace_streaming.kafka.reading import ends
from headrace_streaming.kafka.topics import create_topics, existing_topics
from lakes import write_events
from live_run import records, until, until_told
from online_updates import until_written, writing
from online_values import require_the_oracle_s_online, status_of
from stream_cases import DAY_MS, as_row, complete, labels_of, require_the_oracle_s, transactions
from streams import decisions, deploy, headrace, send_events

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


def test_a_job_that_begins_with_the_lake_goes_on_where_the_lake_ends(
    stream: Settings, spark: SparkSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    del spark  # it is active
    chance = random.Random(8)
    events = transactions(240, chance)
    labels = labels_of(events[:60], chance)
    before, after = events[:160], events[160:]
    # All labels are known before what is decided on happens.
    moved = [{**event, "event_time": event["event_time"] + 9 * DAY_MS} for event in after]
    config = kafka_config(stream)
    refused = headrace(stream.home, "stream", "deploy", "--from", "lake", check=False)
    assert refused.returncode != 0
    assert "headrace ingest" in refused.stderr
    long_ago = before[0]["event_time"] - 100 * DAY_MS
    old = {**before[0], "transaction_id": "old", "card_id": "old card", "event_time": long_ago}
    send_events(config, "transactions", "card_id", [old, *before])
    send_events(config, "transaction_labels", "terminal_id", labels)
    ingest_topics(stream, load_project(stream), config)
    send_events(config, "transactions", "card_id", moved)

    repository.apply(stream, load_project(stream))
    history = deployed_but_not_taken_over(stream, monkeypatch)
    decided = decisions(config, len(moved))
    deployed = taken_over_later(stream, history)

    assert "savepoint" in deployed
    assert sorted(one["id"] for one in decided) == sorted(e["transaction_id"] for e in moved)
    assert complete(decided, "card_activity") == complete(decided, "terminal_risk") == 1
    rows, facts = require_all_was_seen(decided, [*before, *moved], labels)
    until_told(config, "transactions")
    compared = json.loads(headrace(stream.home, "parity", "--json").stdout)
    assert (compared["unexplained"], compared["findings"]) == (0, [])
    assert compared["from_lake"]
    assert compared["decided"] == {"fraud": len(moved)}
    with writing(stream):
        until_written(open_store(stream), config)
    # Also of what only the lake has told of.
    require_the_oracle_s_online(stream, rows, facts)
    require_what_windows_reach(stream, before)
    held = headrace(stream.home, "stream", "deploy", "--from", "lake", check=False)
    assert "runs already" in held.stderr


def test_a_job_begins_with_what_the_lake_has_from_files_and_with_empty_topics(
    stream: Settings, spark: SparkSession
) -> None:
    del spark  # it is active
    chance = random.Random(9)
    events = transactions(120, chance)
    labels = labels_of(events[:40], chance)
    moved = [{**one, "event_time": one["event_time"] + 9 * DAY_MS} for one in events[80:]]
    config, project = kafka_config(stream), load_project(stream)
    for source, rows in ((fraud.transactions, events[:80]), (fraud.labels, labels)):
        write_events(stream, source.table, pa.Table.from_pylist(rows, contract_of(source).schema))
    ingest_topics(stream, project, config)
    headrace(stream.home, "stream", "deploy", "--from", "lake")
    send_events(config, "transactions", "card_id", moved)

    decided = decisions(config, len(moved))
    assert complete(decided, "card_activity") == complete(decided, "terminal_risk") == 1
    require_all_was_seen(decided, [*events[:80], *moved], labels)


def require_all_was_seen(
    decided: list[dict[str, Any]], events: list[dict[str, Any]], labels: list[dict[str, Any]]
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """See that decisions have the values of all events before them, and of all labels.

    Returns:
        The rows of both.
    """
    rows = [as_row(fraud.transactions.schema, event) for event in events]
    seen: dict[str, list[dict[str, Any]]] = {}
    for number, row in enumerate(rows):
        earlier = [r for r in rows[: number + 1] if r["card_id"] == row["card_id"]]
        seen[row["transaction_id"]] = earlier
    for one in decided:
        assert one["views"]["card_activity"]["sequence"] == len(seen[one["id"]])
    facts = [as_row(fraud.labels.schema, label) for label in labels]
    known = {
        row["transaction_id"]: [f for f in facts if f["terminal_id"] == row["terminal_id"]]
        for row in rows
    }
    require_the_oracle_s(decided, seen, known)
    return rows, facts


def taken_over_later(stream: Settings, history: str) -> str:
    """See that values aren't complete before all is taken over; what the command says that does."""
    config = kafka_config(stream)
    until_told(config, "transactions")
    with writing(stream) as writer:
        until_written(open_store(stream), config)
        until(lambda: None not in status_of(stream, "stream_since"), "all else is known of it")
        looked = writer.looks()
        until(lambda: writer.looks() > looked + 2, "it looks whether all is there")
        assert status_of(stream, "stream_current") == [None, None]
        deployed = headrace(stream.home, "stream", "deploy").stdout
        until(lambda: None not in status_of(stream, "stream_current"), "all is there")
    assert not [topic for topic in existing_topics(config) if history in topic]
    return deployed


def require_what_windows_reach(stream: Settings, events: list[dict[str, Any]]) -> None:
    """See that of the lake is said to be there what windows of its newest day reach."""
    lateness_ms = stream.stream.lateness // timedelta(milliseconds=1)
    assert fraud.card_activity.lookback_ms is not None
    newest_ms = events[-1]["event_time"] // DAY_MS * DAY_MS
    since_ms = newest_ms - fraud.card_activity.lookback_ms - lateness_ms
    since = f"{datetime.fromtimestamp(since_ms // 1000, UTC):%Y-%m-%d %H:%M:%S}"
    assert status_of(stream, "stream_since") == [since, "always"]


def deployed_but_not_taken_over(stream: Settings, monkeypatch: pytest.MonkeyPatch) -> str:
    """Deploy from the lake, and press Ctrl-C once the job runs; the name of the history."""
    project = load_project(stream)
    lake = lake_records(stream, project)
    environ = {**os.environ, "HEADRACE_HOME": str(stream.home)}
    path, history = bootstrap(stream, project, environ, lake.records)

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(deployment, "take_over", interrupt)
        with pytest.raises(KeyboardInterrupt):
            deploy(stream, state=path, lake=replace(lake.state, history=history))
    return history


#: Records of a history that nobody waits for to its end.
MADE = 50


def interrupted(done: int) -> None:
    """Stands for somebody who presses Ctrl-C while the state is made."""
    if done >= MADE:
        raise KeyboardInterrupt


def test_state_that_nobody_waits_for_any_more_is_not_made(
    stream: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    config, cluster = kafka_config(stream), Cluster.of(stream)
    project = load_project(stream)
    name = history_job_name(project.name)
    environ = {**os.environ, "HEADRACE_HOME": str(stream.home)}
    with pytest.raises(KeyboardInterrupt):
        bootstrap(stream, project, environ, records(MADE), interrupted)
    assert [job.state for job in cluster.jobs(name)] == ["CANCELED"]
    assert not [topic for topic in AdminClient({**config}).list_topics().topics if ".h" in topic]
    # What was half made is nowhere.
    assert not any(end for _, end in ends(config, FEATURE_UPDATES).values())

    # One whose command was killed with no time to do so is left to the next deployment.
    topics = [source_topic(history_topic(s.topic, "h"), "") for s in project.sources.values()]
    create_topics(config, topics)
    arguments = ["--history", "h", "--mode", "immediate"]
    left = submission.submit(stream, environ, cluster, arguments)
    submission.started(cluster, name, left)
    with monkeypatch.context() as hurried:
        hurried.setattr(submission, "_START_TIMEOUT_S", 0.0)
        with pytest.raises(RetryableError, match="does not run after 0 s"):
            deploy(stream)
    assert {job.state for job in cluster.jobs(name)} == {"CANCELED"}
    # It runs all the same, and what it leaves is found.
    known = recall(stream.home, project.name)
    assert known is not None
    assert known.job_id == cluster.running(job_name(project.name)).job_id
