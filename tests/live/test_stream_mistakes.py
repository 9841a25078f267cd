"""Mistakes in deploying the stream job: one clear line each, through the real command."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest
from confluent_kafka.admin import AdminClient, NewTopic  # type: ignore[attr-defined] # it is

from headrace_features.project import load_project
from headrace_schemas.errors import ConfigurationError
from headrace_schemas.settings import Settings
from headrace_streaming.job import deployment
from headrace_streaming.job.cluster import Cluster, Job
from headrace_streaming.job.last_state import LastState, remember
from headrace_streaming.kafka.clients import kafka_config
from streams import deploy

HEADRACE = str(Path(sys.executable).with_name("headrace"))
NOBODY = "127.0.0.1:9"
PROJECT = """
from headrace_features import Count, Entity, EventSource, FeatureView, Sliding
from headrace_schemas.events import Transaction

card = Entity("card", join_key="card_id")
transactions = EventSource("transactions", schema=Transaction, dedup_key="transaction_id")
activity = FeatureView(
    name="activity", version=1, entity=card, source=transactions,
    aggregates=[Count(windows=[Sliding("{window}")])],{more}
)
"""
#: A view about somebody who the running job has no state of.
ANOTHER = """
terminal = Entity("terminal", join_key="terminal_id")
at_terminal = FeatureView(
    name="at_terminal", version=1, entity=terminal, source=transactions,
    aggregates=[Count(windows=[Sliding("1h")])],
)
"""
#: What it is asked for first, in a task of its own.
FIRST = """
from headrace_features import Decisions, FeatureService

service = FeatureService("all", features=[at_terminal, activity])
decided = Decisions("transactions", source=transactions, service=service, rules=[])
"""
#: A contract that refuses what was good before.
STRICTER = """
from typing import Annotated

from msgspec import Meta

from headrace_schemas.events import Transaction as Before

class Transaction(Before, frozen=True, kw_only=True):
    channel: Annotated[str, Meta(min_length=30)] | None = None
"""
#: A pattern that Java has no words for.
UNREADABLE = """
from typing import Annotated

from msgspec import Meta

from headrace_schemas.events import Transaction as Before

class Transaction(Before, frozen=True, kw_only=True):
    channel: Annotated[str, Meta(pattern="(?P<one>.)(?P=one)")] | None = None
"""


def refusal(home: Path, *options: str, more: Mapping[str, str] | None = None) -> str:
    """The one line with which a deployment is refused."""
    done = subprocess.run(
        [HEADRACE, "stream", "deploy", *options],
        env={**os.environ, "HEADRACE_HOME": str(home), **(more or {})},
        cwd=home,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode in {75, 78}, done
    assert len(done.stderr.splitlines()) == 1, done.stderr
    return done.stderr


def write_project(
    home: Path, window: str, more: str = "", *, after: str = "", contract: str = ""
) -> None:
    (home / "headrace.toml").write_text(
        '[project]\nname = "shop"\ndefinitions = ["shop_definitions"]\n'
    )
    text = PROJECT.format(window=window, more=more) + after
    imported = "from headrace_schemas.events import Transaction\n"
    (home / "shop_definitions.py").write_text(text.replace(imported, contract or imported))


def test_without_services_it_is_said_how_to_start_them(tmp_path: Path) -> None:
    assert "the embedded flink-jobmanager does not run (run: headrace up)" in refusal(tmp_path)
    other = {"HEADRACE_FLINK_REST_ADDRESS": NOBODY}
    assert f"no Flink cluster answers at {NOBODY}" in refusal(tmp_path, more=other)


def test_what_does_not_fit_is_refused_before_a_job_is_there(
    stream: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    home, config = stream.home, kafka_config(stream)
    nowhere = {"HEADRACE_KAFKA_BOOTSTRAP_SERVERS": NOBODY}
    assert f"no Kafka broker answers at {NOBODY}" in refusal(home, more=nowhere)
    missing = f"there is no savepoint or checkpoint at {home}/savepoint-1"
    assert missing in refusal(home, "--from", f"{home}/savepoint-1")

    broker = AdminClient({**config})
    for done in broker.delete_topics(["alerts"]).values():
        done.result()
    for done in broker.create_topics([NewTopic("alerts", 1)]).values():
        done.result()
    assert "topic alerts has 1 partitions, expected 4" in refusal(home)
    for done in broker.delete_topics(["alerts"]).values():
        done.result()

    with monkeypatch.context() as changed:
        changed.setattr(sys, "prefix", str(home))
        changed.setenv("JAVA_HOME", str(home))
        changed.setenv("PATH", str(home))
        with pytest.raises(ConfigurationError, match=r"needed is Java 17 or 21; found JAVA_HOME="):
            deploy(stream)

    elsewhere = LastState("0" * 32, "s3://bucket/checkpoints")
    remember(home, "fraud", elsewhere)
    told = refusal(home)
    assert "can't be looked for in s3://bucket/checkpoints" in told
    assert "--from PATH" in told
    assert "--fresh" in told
    cluster = Cluster.of(stream)
    with pytest.raises(ConfigurationError, match=r"not found$"):
        cluster.checkpoints(Job("0" * 32, "x", "RUNNING", 0))

    deploy(stream, fresh=True)
    # The cluster knows what this one has left, wherever that is.
    remember(home, "fraud", elsewhere)
    assert "the job headrace-fraud runs already, as" in refusal(home)
    deployment.stop(stream, load_project(stream))

    for window in ("1h", "2h"):
        # Another window of the same events is a feature more: its state goes on.
        write_project(home, window)
        for action in ("deploy", "stop"):
            subprocess.run(
                [HEADRACE, "stream", action],
                env={**os.environ, "HEADRACE_HOME": str(home)},
                cwd=home,
                check=True,
            )
    write_project(home, "2h", more=' filter="amount_minor > 5",')
    assert "the savepoint is of other definitions" in refusal(home)
    write_project(home, "2h", after=ANOTHER)
    assert "the state has no view at_terminal: it would begin without" in refusal(home)
    write_project(home, "2h", after=ANOTHER + FIRST)
    assert "the state has no view at_terminal: it would begin without" in refusal(home)
    write_project(home, "2h", contract=UNREADABLE)
    told = refusal(home, "--fresh")
    assert "source transactions: the pattern (?P<one>.)(?P=one) can't be read by the stream" in told
    write_project(home, "2h", contract=STRICTER)
    told = refusal(home)
    assert "the contract Transaction no longer takes all events of transactions: channel" in told
    assert "--fresh" in told
