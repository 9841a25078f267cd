"""From events in Kafka by job and writer to the values that Feast gives: those of the oracle."""

from __future__ import annotations

import json
import random
import sqlite3
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow as pa
import pytest

from headrace_features import oracle
from headrace_features.feast_plugin import repository
from headrace_features.fraud import definitions as fraud
from headrace_features.fraud.definitions import card_activity, terminal_risk
from headrace_features.kernel.prepare import ARROW_TYPES
from headrace_features.online.stores import open_store
from headrace_features.oracle import SpineRow
from headrace_features.project import load_project
from headrace_schemas.columns import columns_of
from headrace_schemas.settings import Settings
from headrace_streaming.kafka.clients import kafka_config
from histories import bits
from lakes import write_events
from live_run import until
from online_updates import until_written, writing
from stream_cases import DAY_MS, HOUR_MS, as_row, labels_of, transactions
from streams import decisions, deploy, headrace, received, send_events

Rows = list[dict[str, Any]]


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
    stream: Settings, events: tuple[Rows, Rows]
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
    require_the_oracle_s(stream, made, labels)
    assert status_of(stream, "batch_boundary") == [None, None]

    for source, rows in ((fraud.transactions, made), (fraud.labels, labels)):
        columns = columns_of(source.schema)
        schema = pa.schema([(column.name, ARROW_TYPES[column.type]) for column in columns])
        write_events(stream, source.table, pa.Table.from_pylist(rows, schema))
    refused = headrace(stream.home, "online", "rebuild", check=False)
    assert refused.returncode == 1
    with sqlite3.connect(stream.online.path) as db:
        # What nobody can say where it comes from.
        db.execute("UPDATE stream SET content = x'00', epoch = 99")
    last = datetime.fromtimestamp(made[-1]["event_time"] / 1000, UTC).date()
    day = last - timedelta(days=1)
    for _ in range(2):
        done = headrace(stream.home, "online", "rebuild", "--yes", "--date", f"{day}", "--json")
        report = json.loads(done.stdout)
        assert report["updates"] >= len(made) + len(labels)
        assert report["entities"] > 12
        require_the_oracle_s(stream, made, labels)
    assert status_of(stream, "batch_boundary") == [f"{last} 00:00:00"] * 2
    assert status_of(stream, "stream_since") == ["always"] * 2


def status_of(settings: Settings, name: str) -> list[Any]:
    """What the command tells of each view."""
    shown = json.loads(headrace(settings.home, "online", "status", "--json").stdout)
    return [one[name] for one in shown]


def require_the_oracle_s(settings: Settings, made: Rows, labels: Rows) -> None:
    """See that Feast gives the values of the oracle at several times."""
    newest_ms = made[-1]["event_time"]
    store = repository.feature_store(settings)
    for view, rows in ((card_activity, made), (terminal_risk, labels)):
        key = view.entity.join_key
        names = [f"{view.name}:{name}" for name in view.feature_names]
        spine = list(spine_of(sorted({row[key] for row in rows}), newest_ms))
        found = store.get_online_features(
            features=names,
            entity_rows=[{key: row.key, "as_of": row.time_ms} for row in spine],
        ).to_dict()
        for place, row in enumerate(spine):
            known = [one for one in rows if one[key] == row.key]
            expected = oracle.values(view, known, [row])[0]
            values = {name: bits(found[name][place]) for name in expected}
            assert values == {name: bits(value) for name, value in expected.items()}, row


def spine_of(keys: Sequence[str], newest_ms: int) -> Iterator[SpineRow]:
    for key in keys:
        for after_ms in (0, 1, HOUR_MS, 9 * DAY_MS):
            yield SpineRow(key, newest_ms + after_ms)
