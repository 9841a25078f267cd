"""From events in Kafka by job and writer to the values that Feast gives: those of the oracle."""

from __future__ import annotations

import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from headrace_features import FeatureReader, FeatureRow, Terms
from headrace_features.feast_plugin import repository
from headrace_features.fraud import definitions as fraud
from headrace_features.kernel.prepare import ARROW_TYPES
from headrace_features.online.stores import open_store
from headrace_features.project import load_project
from headrace_schemas.columns import columns_of
from headrace_schemas.settings import Settings, load
from headrace_streaming.kafka.clients import kafka_config
from lakes import write_events
from live_run import until
from online_updates import until_written, writing
from online_values import Rows, require_the_oracle_s_online, status_of
from redis_servers import redis_server
from stream_cases import as_row, labels_of, transactions
from streams import decisions, deploy, headrace, received, send_events


@pytest.fixture
def events() -> tuple[Rows, Rows]:
    """Transactions, and their labels."""
    chance = random.Random(11)
    events = transactions(400, chance)
    return (
        [as_row(fraud.transactions.schema, event) for event in events],
        [as_row(fraud.labels.schema, label) for label in labels_of(events, chance)],
    )


def test_values_are_the_oracle_s_and_those_of_a_store_that_was_made_anew(
    stream: Settings, events: tuple[Rows, Rows], monkeypatch: pytest.MonkeyPatch
) -> None:
    made, labels = events
    config = kafka_config(stream)
    repository.apply(stream, load_project(stream))
    deploy(stream)
    send_events(config, "transaction_labels", "terminal_id", labels)
    send_events(config, "transactions", "card_id", made)
    decisions(config, len(made))
    received(config, "feature-updates", len(made) + len(labels))

    with writing(stream):
        until_written(open_store(stream), config)
        until(lambda: status_of(stream, "stream_since") == ["always"] * 2, "all is known of it")
        until(lambda: None not in status_of(stream, "stream_current"), "it has caught up")
    require_the_oracle_s_online(stream, made, labels)
    assert status_of(stream, "batch_boundary") == [None, None]
    require_no_claim_on_what_is_sent_while_the_job_is_stopped(stream, made)

    for source, rows in ((fraud.transactions, made), (fraud.labels, labels)):
        columns = columns_of(source.schema)
        schema = pa.schema([(column.name, ARROW_TYPES[column.type]) for column in columns])
        write_events(stream, source.table, pa.Table.from_pylist(rows, schema))
    refused = headrace(stream.home, "online", "rebuild", check=False)
    assert refused.returncode == 2
    assert "give --yes" in refused.stderr
    with sqlite3.connect(stream.online.path) as db:
        # What nobody can say where it comes from.
        db.execute("UPDATE stream SET content = x'00', epoch = 99")
    last = datetime.fromtimestamp(made[-1]["event_time"] / 1000, UTC).date()
    day = last - timedelta(days=1)
    anew = ("online", "rebuild", "--yes", "--date", f"{day}", "--json")
    for _ in range(2):
        report = json.loads(headrace(stream.home, *anew).stdout)
        assert report["updates"] >= len(made) + len(labels)
        assert report["entities"] > 12
        assert None not in status_of(stream, "stream_current")
        require_the_oracle_s_online(stream, made, labels)
    with redis_server() as server, monkeypatch.context() as environ:
        for name, value in server.environ().items():
            environ.setenv(name, value)
        settings = load(stream.home, {**os.environ, "HEADRACE_HOME": str(stream.home)})
        with server.client() as client:
            for keys in (5, 20):
                kill_amidst(stream.home, anew, client, keys)
            headrace(stream.home, *anew)
            require_the_oracle_s_online(settings, made, labels)
    assert status_of(stream, "batch_boundary") == [f"{last} 00:00:00"] * 2
    assert status_of(stream, "stream_since") == ["always"] * 2

    # A stream that begins anew has none of what the lake was given in files.
    require_no_claim_on_what_was_in_files(stream, made)
    require_no_claim_on_what_comes_in_files_later(stream, made)
    shown = headrace(stream.home, "stream", "status").stdout
    assert (shown.count("RUNNING"), shown.count("finished before: job")) == (1, 2)


def require_no_claim_on_what_was_in_files(stream: Settings, made: Rows) -> None:
    """See that a stream that begins anew is said to have only what was in its topics."""
    config = kafka_config(stream)
    headrace(stream.home, "stream", "stop")
    told = headrace(stream.home, "stream", "deploy", "--fresh").stdout
    assert "the lake has events of transactions, transaction_labels that never were" in told
    with writing(stream):
        until(lambda: "always" not in status_of(stream, "stream_since"), "that is known")
    began = min(message.timestamp()[1] for message in received(config, "transactions", len(made)))
    since_ms = began + stream.stream.lateness // timedelta(milliseconds=1)
    since = datetime.fromtimestamp(since_ms // 1000, UTC)
    assert status_of(stream, "stream_since")[0] == f"{since:%Y-%m-%d %H:%M:%S}"


def require_no_claim_on_what_comes_in_files_later(stream: Settings, made: Rows) -> None:
    """See that it is noted what a stream lacks that the lake is given in files."""
    now_ms = int(datetime.now(UTC).timestamp() * 1000)
    before = status_of(stream, "stream_since")[0]
    lately = {**made[-1], "transaction_id": "in a file", "event_time": now_ms}
    (stream.home / "lately.jsonl").write_text(json.dumps(lately) + "\n")
    file = ("ingest", "--file", "lately.jsonl", "--source", "transactions")
    told = headrace(stream.home, *file).stderr
    assert "the stream of card_activity has none of these events" in told
    tomorrow = datetime.fromtimestamp(now_ms / 1000, UTC) + timedelta(days=1)
    # In the last hour of a day the lateness reaches beyond its end.
    assert status_of(stream, "stream_since")[0] == max(before, f"{tomorrow:%Y-%m-%d} 00:00:00")
    assert "has none of these" not in headrace(stream.home, *file).stderr


def require_no_claim_on_what_is_sent_while_the_job_is_stopped(stream: Settings, made: Rows) -> None:
    """See that values tell that nobody takes in what is sent."""
    headrace(stream.home, "stream", "stop")
    sent = {**made[-1], "transaction_id": "a", "card_id": "of nobody", "terminal_id": "nowhere"}
    send_events(kafka_config(stream), "transactions", "card_id", [sent])
    sent_ms = time.time_ns() // 1_000_000
    hasty = FeatureReader(
        open_store(stream),
        [view.select(*view.feature_names) for view in (fraud.card_activity, fraud.terminal_risk)],
        terms=Terms(max_lag="0s"),
    )
    asked = [{"card_id": sent["card_id"], "terminal_id": sent["terminal_id"], "as_of": sent_ms}]
    with writing(stream):
        until(lambda: current_ms(hasty.read(asked)[0], "terminal_risk") > sent_ms, "labels are in")
    (row,) = hasty.read(asked)
    assert current_ms(row, "card_activity") <= sent_ms
    assert "card_activity__count_1h" in row.incomplete
    assert not any(name.startswith("terminal_risk") for name in row.incomplete)
    headrace(stream.home, "stream", "deploy")
    with writing(stream):
        until(lambda: not hasty.read(asked)[0].incomplete, "it is taken in")


def current_ms(row: FeatureRow, view: str) -> int:
    """Up to when the stream layer has what was sent."""
    layer = row.freshness[view].stream
    return 0 if layer is None else layer.current or 0


def kill_amidst(home: Path, arguments: tuple[str, ...], client: Any, keys: int) -> None:
    """Kill a command once it has put so many keys into an empty store."""
    client.flushall()
    command = [sys.executable, "-m", "headrace_orchestration.cli", *arguments]
    environ = {**os.environ, "HEADRACE_HOME": str(home)}
    with subprocess.Popen(command, cwd=home, env=environ) as process:
        until(lambda: client.dbsize() > keys, f"it has put {keys} keys", pause_s=0.002)
        process.kill()
    assert process.returncode == -signal.SIGKILL
