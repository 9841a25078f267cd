"""Topics become bronze tables by way of Spark: each event once, whatever happens in between."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from confluent_kafka import Consumer, TopicPartition
from confluent_kafka.admin import AdminClient

from conftest import SPARK
from headrace_batch.days import begins_ms, last_whole_day
from headrace_batch.ingest import broker as broker_module
from headrace_batch.ingest import topic_run, topic_tables
from headrace_batch.ingest.contract import contract_of
from headrace_batch.ingest.covered import covered_offsets
from headrace_batch.ingest.topic_report import TopicReport
from headrace_batch.ingest.topic_run import ingest_topics
from headrace_batch.lake_history import has_other_events
from headrace_batch.quarantine.kept_rows import RowState, kept_rows
from headrace_batch.warehouse import Warehouse
from headrace_features import ReferenceRule, RowRule, TimelyRule
from headrace_features.definitions.durations import DAY_MS
from headrace_features.project import Project
from headrace_orchestration import releasing
from headrace_schemas.errors import ConfigurationError, RetryableError
from headrace_schemas.settings import Settings
from headrace_schemas.tables import KAFKA_PARTITION
from headrace_schemas.topics import Topic
from headrace_streaming.kafka.topics import create_topics
from ingestion import (
    START_MS,
    Row,
    fraud_project,
    settings_in,
    stored,
    transaction,
    transactions,
)
from lakes import write_events
from streams import broker_in, headrace, received, send, send_events

pytestmark = pytest.mark.usefixtures("spark")

BRONZE = "bronze.transactions"
REJECTED = "quarantine.transactions"
WAITING = """
from dataclasses import replace

from headrace_features import Count, FeatureView, RowRule, Sliding
from headrace_features.fraud.definitions import card, transactions

positive = RowRule("positive", "amount_minor > 0")
transactions = replace(transactions, topic="{topic}", rules=[positive])
spent = FeatureView("spent", 1, card, transactions, [Count([Sliding("7d")])])
"""
Config = Mapping[str, str]


@pytest.fixture(scope="module")
def kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Config]:
    """The properties for clients of a running broker."""
    with broker_in(tmp_path_factory.mktemp("broker")) as config:
        yield config


class Lake:
    """A project whose transactions have a topic of their own, and an empty warehouse."""

    def __init__(self, kafka: Config, home: Path) -> None:
        self.kafka = kafka
        self.settings: Settings = settings_in(home)
        self.topic = f"transactions-{uuid.uuid4()}"
        project = fraud_project(self.settings)
        self.source = replace(project.source("transactions"), topic=self.topic)
        self.project: Project = replace(project, sources={"transactions": self.source})
        self.create()

    def create(self) -> None:
        create_topics(self.kafka, [Topic(self.topic, key="card_id", partitions=3)])

    def send(self, rows: Sequence[Row]) -> None:
        send_events(self.kafka, self.topic, "card_id", rows)

    def take(self, **options: Any) -> TopicReport:
        (report,) = ingest_topics(self.settings, self.project, self.kafka, **options).sources
        return report

    def table(self, name: str = BRONZE) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = Warehouse.of(self.settings).read(name).to_pylist()
        return rows

    def ids(self) -> list[str]:
        return sorted(row["transaction_id"] for row in self.table())

    def covered(self) -> Mapping[int, int]:
        return covered_offsets(Warehouse.of(self.settings), self.source)

    def places(self) -> dict[tuple[int | None, int | None], bytes]:
        """The bytes of all records of the topic, by partition and offset."""
        count = sum(self.ends().values())
        found = received(self.kafka, self.topic, count)
        return {(one.partition(), one.offset()): one.value() or b"" for one in found}

    def ends(self) -> dict[int, int]:
        consumer = Consumer({**self.kafka, "group.id": "test"})
        try:
            partitions = consumer.list_topics(self.topic).topics[self.topic].partitions
            return {
                number: consumer.get_watermark_offsets(TopicPartition(self.topic, number))[1]
                for number in sorted(partitions)
            }
        finally:
            consumer.close()

    def delete_before(self, offsets: Mapping[int, int]) -> None:
        """Delete records as the broker does when their time is over."""
        places = [TopicPartition(self.topic, number, offset) for number, offset in offsets.items()]
        admin = AdminClient(dict(self.kafka))
        for deleted in admin.delete_records(places).values():
            deleted.result(30)


@pytest.fixture
def lake(kafka: Config, tmp_path: Path) -> Lake:
    return Lake(kafka, tmp_path)


def test_every_event_is_taken_in_once_with_its_position_however_often_it_runs(lake: Lake) -> None:
    broken = [b"", b"{}", b"\xff\xfe", json.dumps(transaction(1, card_id=None)).encode()]
    lake.send(transactions(0, 60))
    send(lake.kafka, lake.topic, (("card-1", raw) for raw in broken))
    lake.send(transactions(50, 55, amount_minor=1))

    report = lake.take()

    assert (report.rows, report.ingested, report.duplicates) == (69, 60, 5)
    assert report.rejected == {"undecodable": 2, "missing_field": 1, "null_key": 1}
    again = lake.take()
    assert (again.rows, again.ingested, again.first) == (0, 0, report.covered)
    lake.send(transactions(55, 80))
    more = lake.take()
    assert (more.rows, more.ingested, more.duplicates) == (25, 20, 5)
    assert more.covered == lake.covered() == lake.ends()

    at = lake.places()
    assert lake.ids() == sorted(f"tx-{number}" for number in range(80))
    for row in lake.table():
        assert row["_kafka_topic"] == lake.topic
        sent = json.loads(at[row["_kafka_partition"], row["_kafka_offset"]])
        assert sent == {name: row[name] for name in sent}
        assert row["amount_minor"] >= 100
    rejected = lake.table(REJECTED)
    assert len(rejected) == len(broken)
    for row in rejected:
        scheme, topic, partition = row["file"].rsplit("/", 2)
        assert (scheme, topic) == ("kafka:/", lake.topic)
        raw = at[int(partition), row["row_number"]]
        assert row["raw"] == raw.decode(errors="backslashreplace")
    assert sorted((row["reasons"], row["columns"]) for row in rejected) == [
        (["missing_field"], ["transaction_id"]),
        (["null_key"], ["card_id"]),
        (["undecodable"], [""]),
        (["undecodable"], [""]),
    ]


def test_a_topic_without_records_has_been_taken_in_all_the_same(lake: Lake) -> None:
    assert lake.covered() == {}
    report = lake.take()
    assert (report.rows, report.covered) == (0, lake.ends())
    assert lake.covered() == lake.ends()
    version = Warehouse.of(lake.settings).open(BRONZE).version()
    lake.take()
    # To find nothing new is nothing to note.
    assert Warehouse.of(lake.settings).open(BRONZE).version() == version
    lake.send(transactions(0, 5))
    assert lake.take().ingested == 5


def test_a_backlog_is_several_commits_and_nothing_beside_the_table_is_needed_to_go_on(
    lake: Lake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(topic_run, "BATCH_RECORDS", 40)
    lake.send(transactions(0, 100))
    lake.send(transactions(0, 50))
    told: list[int] = []

    report = lake.take(on_progress=told.append)

    assert (report.rows, report.ingested, report.duplicates) == (150, 100, 50)
    assert told == sorted(told)
    assert told[-1] == 150
    assert len(told) >= 4
    # The table's own creation is a commit as well.
    assert Warehouse.of(lake.settings).open(BRONZE).version() == len(told)
    assert lake.ids() == sorted(f"tx-{number}" for number in range(100))
    # The tables alone, in another place.
    moved = settings_in(tmp_path / "moved")
    Path(moved.warehouse.path).parent.mkdir(parents=True)
    Path(lake.settings.warehouse.path).rename(moved.warehouse.path)
    lake.settings = moved
    assert lake.take().rows == 0
    lake.send(transactions(90, 110))
    assert lake.take().ingested == 10
    assert lake.covered() == lake.ends()


def test_records_that_the_broker_deleted_unread_are_named_and_skipped_only_when_told_so(
    lake: Lake,
) -> None:
    lake.send(transactions(0, 40))
    lake.take()
    read = dict(lake.covered())
    lake.send(transactions(40, 80))
    ends = lake.ends()
    lake.delete_before({1: read[1] + 2, 2: ends[2]})
    gone = f"offsets {read[1]} to {read[1] + 1} of partition 1, "
    gone += f"offsets {read[2]} to {ends[2] - 1} of partition 2"

    with pytest.raises(ConfigurationError, match=f"that {BRONZE} lacks: {gone}") as refused:
        lake.take()
    assert "--skip-lost" in str(refused.value)
    assert lake.covered() == read

    skipping = lake.take(skip_lost=True)
    assert skipping.notes == (f"skipped, as the broker has deleted them: {gone}",)
    assert skipping.rows == 80 - 40 - 2 - (ends[2] - read[2])
    assert lake.covered() == ends
    assert lake.take().notes == ()


def test_records_that_are_deleted_while_it_runs_are_no_silent_loss(
    lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    stream = topic_run._stream

    def deleted(*arguments: Any) -> Any:
        lake.delete_before({1: 2})
        return stream(*arguments)

    monkeypatch.setattr(topic_run, "_stream", deleted)
    lake.send(transactions(0, 40))
    with pytest.raises(ConfigurationError, match="lacks: offsets 0 to 1 of partition 1"):
        lake.take()
    assert lake.covered() == {}


def test_a_topic_that_was_made_anew_is_read_from_its_start(lake: Lake) -> None:
    lake.send(transactions(0, 40))
    lake.take()
    admin = AdminClient(dict(lake.kafka))
    (deleted,) = admin.delete_topics([lake.topic]).values()
    deleted.result(30)
    while lake.topic in admin.list_topics().topics:
        time.sleep(0.05)  # the broker takes its time
    lake.create()
    lake.send(transactions(20, 80))

    report = lake.take()

    assert "was made anew" in report.notes[0]
    assert (report.rows, report.ingested, report.duplicates) == (60, 40, 20)
    assert lake.ids() == sorted(f"tx-{number}" for number in range(80))
    assert lake.covered() == lake.ends()
    assert lake.take().notes == ()


def test_a_missing_topic_and_a_broker_that_does_not_answer_are_said_at_once(
    lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    lake.project = replace(
        lake.project,
        sources={"transactions": lake.source, "more": replace(lake.source, topic="more")},
    )
    with pytest.raises(ConfigurationError, match="there is no topic more on the broker at"):
        ingest_topics(lake.settings, lake.project, lake.kafka)
    assert not Warehouse.of(lake.settings).exists(BRONZE)

    monkeypatch.setattr(broker_module, "_TIMEOUT_MS", 1_000)
    silent = {"bootstrap.servers": "127.0.0.1:9"}
    with pytest.raises(RetryableError, match=r"no Kafka broker answers at 127\.0\.0\.1:9"):
        ingest_topics(lake.settings, lake.project, silent, source="transactions")
    nowhere = {"bootstrap.servers": "no.such.host.invalid:9092"}
    with pytest.raises(ConfigurationError, match=r"can't be asked: ConfigException"):
        ingest_topics(lake.settings, lake.project, nowhere, source="transactions")


def test_the_command_takes_all_topics_or_one(kafka: Config, tmp_path: Path) -> None:
    create_topics(kafka, [Topic("transactions", key="card_id")])
    send_events(kafka, "transactions", "card_id", transactions(0, 25))
    settings = settings_in(tmp_path)

    def headrace(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [str(Path(sys.executable).with_name("headrace")), "ingest", *arguments],
            cwd=tmp_path,
            env={
                **os.environ,
                **SPARK,
                "HEADRACE_HOME": str(settings.home),
                "HEADRACE_KAFKA_BOOTSTRAP_SERVERS": kafka["bootstrap.servers"],
            },
            capture_output=True,
            text=True,
            check=False,
        )

    done = headrace("--from-kafka", "--source", "transactions", "--json")
    assert done.returncode == 0, done.stderr
    (told,) = json.loads(done.stdout)["sources"]
    assert (told["rows"], told["ingested"]) == (25, 25)
    assert sum(told["covered_offsets"].values()) == 25
    assert len(stored(settings, BRONZE)) == 25


def test_a_record_that_breaks_a_rule_is_kept_aside_with_its_event(lake: Lake) -> None:
    small = RowRule("small", "amount_minor < 900")
    known = ReferenceRule("known", "card_id", to="transactions", to_column="card_id")
    lake.take()
    lake.source = replace(lake.source, rules=[small])
    lake.project = replace(lake.project, sources={"transactions": lake.source})
    lake.send([transaction(0, amount_minor=1), transaction(1, amount_minor=901)])
    assert lake.take().rejected == {"small": 1}
    lake.source = replace(lake.source, rules=[small, known])
    lake.project = replace(lake.project, sources={"transactions": lake.source})
    lake.send([transaction(2, card_id="card-0"), transaction(3, card_id="x", amount_minor=902)])
    assert lake.take().rejected == {"small": 1}
    assert lake.ids() == ["tx-0", "tx-2"]
    rows = sorted(lake.table(REJECTED), key=lambda row: str(row["event"]))
    assert [row["reasons"] for row in rows] == [["small"], ["small", "known"]]
    assert [json.loads(row["event"])["amount_minor"] for row in rows] == [901, 902]
    assert [lake.places()[_place(row)].decode() for row in rows] == [row["raw"] for row in rows]


def test_a_repaired_record_goes_back_to_its_topic_and_a_late_one_into_the_table(
    lake: Lake,
) -> None:
    small = RowRule("small", "amount_minor < 900")
    on_time = TimelyRule("on_time", "1d")
    # A topic as it is made by the command, which looks at that before it sends.
    lake.topic += "-as-made"
    create_topics(lake.kafka, [Topic(lake.topic, key="card_id")])
    lake.source = replace(lake.source, topic=lake.topic, rules=[small, on_time])
    lake.project = replace(lake.project, sources={"transactions": lake.source})
    now_ms = time.time_ns() // 1_000_000
    # One that was sent twice is one event.
    twice = transaction(0, amount_minor=901, event_time=now_ms)
    lake.send(
        [
            twice,
            twice,
            transaction(1, amount_minor=902, event_time=now_ms - 2 * DAY_MS),
        ]
    )
    lake.take()
    warehouse = Warehouse.of(lake.settings)
    rows = kept_rows(warehouse, lake.source)
    assert {row.reasons for row in rows} == {("small",), ("small", "on_time")}
    repaired = releasing.repair(
        lake.settings,
        lake.project,
        releasing.Rows(lake.source, rows),
        now_ms,
        lambda row: {**(row.event or {}), "amount_minor": 5},
    )
    assert (repaired.repaired, repaired.left) == (3, {})
    settings = replace(
        lake.settings,
        kafka=replace(lake.settings.kafka, bootstrap_servers=lake.kafka["bootstrap.servers"]),
    )
    done = releasing.release(
        settings,
        lake.project,
        releasing.Rows(lake.source, kept_rows(warehouse, lake.source)),
        now_ms,
        ignore=["on_time"],
    )
    assert (done.sent, done.taken_in, done.duplicates, done.left) == (1, 1, 1, {})
    assert lake.ids() == ["tx-1"]
    again = lake.take()
    assert (again.rows, again.ingested) == (1, 1)
    assert lake.ids() == ["tx-0", "tx-1"]
    assert {row["amount_minor"] for row in lake.table()} == {5}
    assert {row.state for row in kept_rows(warehouse, lake.source)} == {RowState.RELEASED}


def _place(row: dict[str, Any]) -> tuple[int, int]:
    return int(row["file"].rpartition("/")[2]), row["row_number"]


def test_a_day_is_whole_once_the_slowest_partition_has_passed_it(lake: Lake) -> None:
    days = range(4)
    lake.send([transaction(24 * day + hour) for day in days for hour in range(24)])
    lake.take()
    partition = {row["card_id"]: row[KAFKA_PARTITION] for row in lake.table()}
    slow = partition["card-0"]
    assert set(partition.values()) > {slow}

    def last_day() -> int:
        found = last_whole_day(lake.settings, lake.source, streamed=True)
        assert found is not None
        return (begins_ms(found) - START_MS) // DAY_MS

    assert last_day() == days[-2]
    # Events of one partition are three days behind those of the others.
    further = [transaction(24 * day + hour) for day in range(4, 8) for hour in range(24)]
    behind = [row for row in further if partition[row["card_id"]] == slow]
    lake.send([row for row in further if row not in behind] + behind[:3])
    lake.take()
    assert last_day() == days[-1]
    lake.send(behind[3:])
    lake.take()
    assert last_day() == 6


def test_what_was_rejected_of_a_topic_is_told_by_the_attempt_that_read_it(
    lake: Lake, tmp_path: Path
) -> None:
    folder = tmp_path / "waiting"
    folder.mkdir()
    (folder / "headrace.toml").write_text(
        '[project]\nname = "waiting"\ndefinitions = ["waiting_definitions"]\n'
        '[ingest]\ntransactions = "kafka"\n'
        f'[kafka]\nbootstrap_servers = "{lake.kafka["bootstrap.servers"]}"\n'
    )
    (folder / "waiting_definitions.py").write_text(WAITING.format(topic=lake.topic))
    lake.send([transaction(0), transaction(1, amount_minor=-1)])
    daily = ("run", "daily", "--date", "2018-04-01")
    done = headrace(folder / ".headrace", *daily, folder=folder, check=False)
    assert done.returncode == 75
    told, error = done.stderr.splitlines()
    assert told == (
        "transactions: 1 row rejected into quarantine (by first reason: positive 1; of all that"
        f" topic {lake.topic} has brought since the ingest before); see headrace quarantine list"
        " transactions"
    )
    assert "of 2018-04-01 have not all come" in error


def test_a_partition_to_which_nothing_comes_holds_nothing_back(
    lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    lake.send(transactions(0, 48))
    lake.take()
    further = [row for row in transactions(48, 120) if row["card_id"] == "card-0"]
    lake.send(further)
    later_ms = time.time_ns() // 1_000_000 + 2 * lake.settings.stream.lateness.seconds * 1_000
    monkeypatch.setattr(topic_tables, "_now_ms", lambda: later_ms)
    lake.take()
    newest_ms = max(row["event_time"] for row in further)
    found = last_whole_day(lake.settings, lake.source, streamed=True)
    assert found is not None
    assert begins_ms(found + timedelta(1)) == newest_ms // DAY_MS * DAY_MS


def test_events_that_came_in_files_before_the_first_of_the_topic_are_known_as_such(
    lake: Lake,
) -> None:
    warehouse = Warehouse.of(lake.settings)
    assert not has_other_events(warehouse, lake.source)
    lake.send(transactions(0, 20))
    lake.take()
    assert not has_other_events(warehouse, lake.source)
    other = Lake(lake.kafka, lake.settings.home.parent / "other")
    schema = contract_of(other.source).schema
    early = pa.Table.from_pylist(transactions(100, 110), schema)
    write_events(other.settings, BRONZE, early)
    other.send(transactions(0, 20))
    other.take()
    assert has_other_events(Warehouse.of(other.settings), other.source)
