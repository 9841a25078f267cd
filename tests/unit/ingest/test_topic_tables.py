"""Records of a topic are in the tables once, whoever commits in between and whatever is killed."""

from __future__ import annotations

import dataclasses
import json
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from headrace_batch.days import last_whole_day, whole_until
from headrace_batch.ingest.appending import Appender
from headrace_batch.ingest.broker import TopicNow
from headrace_batch.ingest.contract import contract_of
from headrace_batch.ingest.counting import Counts
from headrace_batch.ingest.covered import covered_offsets
from headrace_batch.ingest.key_hashes import key_hashes
from headrace_batch.ingest.references import KnownValues
from headrace_batch.ingest.run import ingest
from headrace_batch.ingest.topic_rows import Judge, TopicRows, no_rows
from headrace_batch.ingest.topic_tables import TopicTables
from headrace_batch.lake_history import has_other_events, newest_other_day
from headrace_batch.materialize import materialize_view
from headrace_batch.warehouse import Warehouse
from headrace_features.definitions.durations import DAY_MS, HOUR_MS
from headrace_features.definitions.row_rules import ReferenceRule
from headrace_features.online.served import view_key
from headrace_features.online.stores import open_store
from headrace_features.row_rules import Known
from headrace_schemas.event_times import MOST_AHEAD_MS
from histories import as_table
from ingestion import (
    START_MS,
    Row,
    fraud_project,
    settings_in,
    transaction,
    transactions,
    write_json_lines,
)
from lakes import unwatched, write_events
from online_stores import layers_of

BRONZE = "bronze.transactions"
START_DATE = date(2018, 4, 1)
REJECTED = "quarantine.transactions"
SENT_AT_MS = 1_700_000_000_000
START = {0: 0, 1: 0}
IN_SPARK = pa.schema(
    [
        ("partition", pa.int32()),
        ("offset", pa.int64()),
        ("timestamp", pa.timestamp("us", "UTC")),
        ("value", pa.binary()),
    ]
)


class Lake:
    """A warehouse with the tables of the built-in project's transactions."""

    def __init__(self, home: Path) -> None:
        self.settings = settings_in(home)
        self.project = fraud_project(self.settings)
        self.source = self.project.source("transactions")
        self.contract = contract_of(self.source)
        self.warehouse = Warehouse.of(self.settings)

    def tables(self, identity: int = 1) -> TopicTables:
        """As a new process would have them."""
        return TopicTables(
            self.warehouse, self.contract, TopicNow("transactions", identity, START, START)
        )

    def records(
        self,
        partition: int,
        first: int,
        rows: Sequence[Row | bytes],
        sent_at: int = SENT_AT_MS,
        known: Known | None = None,
    ) -> TopicRows:
        """Records of a partition, the first of them at an offset."""
        values = [row if isinstance(row, bytes) else json.dumps(row).encode() for row in rows]
        columns: list[list[Any]] = [
            [partition] * len(rows),
            list(range(first, first + len(rows))),
            [sent_at * 1000] * len(rows),
            values,
        ]
        return Judge(self.contract, known).judged(pa.record_batch(columns, schema=IN_SPARK))

    def take_file(self, rows: Sequence[Row]) -> None:
        file = write_json_lines(self.settings.home / f"{len(rows)}.jsonl", rows)
        ingest(self.settings, self.project, str(file), source="transactions")

    def stored(self, table: str = BRONZE) -> list[Mapping[str, Any]]:
        rows: list[Mapping[str, Any]] = self.warehouse.read(table).to_pylist()
        return rows

    def positions(self) -> dict[str, tuple[str | None, int | None, int | None]]:
        """Where each event came from, by its key; no key is there twice."""
        found = {
            row["transaction_id"]: (
                row["_kafka_topic"],
                row["_kafka_partition"],
                row["_kafka_offset"],
            )
            for row in self.stored()
        }
        assert len(found) == len(self.stored())
        return found

    def covered(self) -> Mapping[int, int]:
        return covered_offsets(self.warehouse, self.source)


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    (tmp_path / ".headrace").mkdir()
    return Lake(tmp_path)


def both(first: TopicRows, second: TopicRows) -> TopicRows:
    return TopicRows(
        pa.concat_tables([first.good, second.good]),
        pa.concat_tables([first.refused, second.refused]),
    )


def test_an_event_keeps_its_position_and_the_first_one_of_a_key_wins(lake: Lake) -> None:
    rows = both(
        lake.records(0, 0, transactions(0, 3)),
        lake.records(1, 0, [transaction(2, amount_minor=9), transaction(3), transaction(3)]),
    )
    counts, covered = lake.tables().take(rows, START)
    assert counts == Counts(rows=6, ingested=4, duplicates=2)
    assert covered == lake.covered() == {0: 3, 1: 3}
    assert lake.positions() == {
        "tx-0": ("transactions", 0, 0),
        "tx-1": ("transactions", 0, 1),
        "tx-2": ("transactions", 0, 2),
        "tx-3": ("transactions", 1, 1),
    }


def test_an_event_from_a_file_has_no_position_and_makes_the_same_one_from_kafka_a_duplicate(
    lake: Lake,
) -> None:
    lake.take_file(transactions(0, 4))
    counts, covered = lake.tables().take(lake.records(1, 0, transactions(2, 6)), START)
    assert (counts.ingested, counts.duplicates) == (2, 2)
    lake.take_file(transactions(4, 9))
    nowhere = (None, None, None)
    assert lake.positions() == {
        **{f"tx-{number}": nowhere for number in (0, 1, 2, 3, 6, 7, 8)},
        "tx-4": ("transactions", 1, 2),
        "tx-5": ("transactions", 1, 3),
    }
    assert lake.covered() == covered == {0: 0, 1: 4}


def test_events_that_never_were_in_the_topic_are_told_from_those_that_were(lake: Lake) -> None:
    def others() -> bool:
        return has_other_events(lake.warehouse, lake.source)

    assert not others()
    lake.tables().take(lake.records(0, 0, transactions(0, 4)), START)
    assert not others()
    assert has_other_events(lake.warehouse, dataclasses.replace(lake.source, topic="another"))
    assert newest_other_day(lake.warehouse, lake.source) is None
    lake.take_file(transactions(0, 5))
    assert others()
    days = {row["event_date"] for row in lake.stored()}
    assert newest_other_day(lake.warehouse, lake.source) == max(days)
    later = [transaction(9, event_time=START_MS + 9 * DAY_MS)]
    lake.tables().take(lake.records(0, 4, later), {0: 4, 1: 0})
    assert newest_other_day(lake.warehouse, lake.source) == max(days)


def test_events_of_files_alone_never_were_in_a_topic(lake: Lake) -> None:
    lake.take_file(transactions(0, 2))
    assert has_other_events(lake.warehouse, lake.source)
    assert newest_other_day(lake.warehouse, lake.source) == lake.stored()[0]["event_date"]
    whole = partial(last_whole_day, lake.settings, lake.source)
    newest = max(row["event_date"] for row in lake.stored())
    assert whole(streamed=False) == newest
    # Of its newest day more may come.
    assert whole(streamed=True) is None
    lake.take_file([*transactions(2, 3), transaction(3, event_time=START_MS - 3 * DAY_MS)])
    assert whole(streamed=False) == newest
    assert whole(streamed=True) == newest - timedelta(days=1)
    lake.tables().take(lake.records(0, 0, transactions(3, 4)), START)
    assert whole(streamed=False) == newest - timedelta(days=1)


def test_a_batch_layer_of_a_day_of_which_more_may_come_says_what_it_may_lack(lake: Lake) -> None:
    rows = [transaction(0), transaction(1, event_time=START_MS + 2 * DAY_MS + 2 * HOUR_MS)]
    lake.tables().take(lake.records(0, 0, rows), START)
    view, store = lake.project.view("card_activity"), open_store(lake.settings)
    newest = max(row["event_date"] for row in lake.stored())
    began_ms = START_MS // DAY_MS * DAY_MS + 2 * DAY_MS
    began = time.time_ns() // 1_000_000
    for last, lacks in ((newest - timedelta(days=1), False), (newest, True)):
        materialize_view(lake.settings, view, last, unwatched)
        batch = layers_of(store, view_key(view)).batch
        assert batch is not None
        assert batch.whole_ms == (began_ms if lacks else batch.boundary_ms)
        assert batch.written_ms >= began
    # What comes in a file doesn't tell how far the topic is.
    lake.take_file([transaction(2, event_time=START_MS + 4 * DAY_MS + HOUR_MS)])
    assert whole_until(lake.settings, lake.source, streamed=True) == newest


def test_of_a_day_that_is_not_over_a_batch_layer_has_what_was_up_to_its_newest_event(
    lake: Lake,
) -> None:
    view, store = lake.project.view("card_activity"), open_store(lake.settings)
    now_ms = time.time_ns() // 1_000_000
    newest_ms = now_ms - now_ms % DAY_MS + 1
    lake.take_file([transaction(0, event_time=newest_ms)])
    materialize_view(lake.settings, view, datetime.now(UTC).date(), unwatched)
    batch = layers_of(store, view_key(view)).batch
    assert batch is not None
    assert (batch.whole_ms, batch.boundary_ms) == (newest_ms + 1, newest_ms - 1 + DAY_MS)


def test_a_day_is_whole_once_no_event_of_it_can_come_in_time_any_more(lake: Lake) -> None:
    days = 2 * DAY_MS
    for number, (after_ms, last) in enumerate(((HOUR_MS - 1, 0), (HOUR_MS, 1)), start=1):
        lake.take_file([transaction(0), transaction(number, event_time=START_MS + days + after_ms)])
        found = last_whole_day(lake.settings, lake.source, streamed=True)
        assert found == START_DATE + timedelta(days=last)


def test_a_layer_leaves_what_becomes_known_later_to_the_stream(lake: Lake) -> None:
    source = lake.project.source("transaction_labels")
    view, store = lake.project.view("terminal_risk"), open_store(lake.settings)
    reported_ms = START_MS + 9 * DAY_MS
    labels: list[Row] = [
        {
            "transaction_id": f"t{number}",
            "card_id": "c",
            "terminal_id": f"terminal {number}",
            "event_time": START_MS + number,
            "is_fraud": False,
            "reported_at": reported_ms - before_ms,
        }
        for number, before_ms in enumerate((0, HOUR_MS - 1, HOUR_MS, 2 * HOUR_MS))
    ]
    # So that the day is over.
    labels.append({**labels[0], "transaction_id": "t9", "event_time": START_MS + 3 * DAY_MS})
    write_events(lake.settings, source.table, as_table(view, labels))
    # What it has once it keeps: the stream can't have that then.
    for streamed, entities, known_ms in (
        (True, 2, reported_ms - HOUR_MS),
        (False, 2, None),
        (True, 0, reported_ms),
    ):
        report = materialize_view(lake.settings, view, START_DATE, unwatched, streamed=streamed)
        assert (report.entities, report.events) == (entities, entities)
        batch = layers_of(store, view_key(view)).batch
        assert batch is not None
        assert batch.known_ms == known_ms


def test_a_refused_record_is_kept_with_its_place_reason_and_bytes(lake: Lake) -> None:
    bad: list[Row | bytes] = [b"", b"\xff", transaction(1, card_id=None), transaction(2)]
    counts, _ = lake.tables().take(lake.records(1, 7, bad), {0: 0, 1: 7})
    assert (counts.rows, counts.ingested) == (4, 1)
    assert counts.rejected == {"undecodable": 2, "null_key": 1}
    assert [
        (row["file"], row["row_number"], row["reasons"], row["columns"], row["raw"][:4])
        for row in lake.stored(REJECTED)
    ] == [
        ("kafka://transactions/1", 7, ["undecodable"], [""], ""),
        ("kafka://transactions/1", 8, ["undecodable"], [""], "\\xff"),
        ("kafka://transactions/1", 9, ["null_key"], ["card_id"], '{"tr'),
    ]


def test_an_event_may_lie_as_far_ahead_of_its_record_as_in_the_stream(lake: Lake) -> None:
    sent_at = transaction(0)["event_time"]
    rows = [transaction(0, event_time=sent_at + ahead) for ahead in (MOST_AHEAD_MS, 300_001)]
    counts, _ = lake.tables().take(lake.records(0, 0, rows, sent_at), START)
    assert counts.rejected == {"event_time_out_of_range": 1}
    assert counts.ingested == 1
    assert lake.stored(REJECTED)[0]["columns"] == ["event_time"]


def test_a_run_that_dies_between_the_two_tables_is_made_up_for_once(
    lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = lake.records(0, 0, [transaction(0), b"{}", transaction(1)])
    append = Appender.append_next

    def dying(appender: Appender, made: Callable[..., Any]) -> Any:
        if appender.table == BRONZE:
            raise InterruptedError
        return append(appender, made)

    with monkeypatch.context() as patched:
        patched.setattr(Appender, "append_next", dying)
        with pytest.raises(InterruptedError):
            lake.tables().take(rows, START)
    assert lake.covered() == {}
    assert len(lake.stored(REJECTED)) == 1

    # A later run may read more at once.
    more = both(rows, lake.records(0, 3, [b"[]"]))
    counts, covered = lake.tables().take(more, START)
    assert (counts.ingested, counts.rejected) == (2, {"missing_field": 1, "undecodable": 1})
    assert covered == {0: 4, 1: 0}
    assert sorted(row["row_number"] for row in lake.stored(REJECTED)) == [1, 3]


def test_what_another_run_took_for_events_and_this_one_refuses_is_kept(
    lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    rule = ReferenceRule("known", "terminal_id", to="terminals", to_column="terminal_id")
    lake.source = dataclasses.replace(lake.source, rules=[rule])
    lake.contract = contract_of(lake.source)
    sent: list[Row | bytes] = [b"{}", *transactions(0, 2)]
    known, unknown = (
        lake.records(
            *(0, 0, sent), known={"known": KnownValues(np.unique(key_hashes(pa.array(names))))}
        )
        for names in (["terminal-0", "terminal-1"], ["terminal-1"])
    )
    stored = TopicTables._stored

    def late(tables: TopicTables, events: pa.Table) -> pa.Table:
        monkeypatch.setattr(TopicTables, "_stored", stored)
        counts, _ = lake.tables().take(unknown, START)
        assert (counts.ingested, counts.rejected) == (1, {"missing_field": 1, "known": 1})
        return stored(tables, events)

    # It has kept what it refuses, and is overtaken before its events are in the table.
    monkeypatch.setattr(TopicTables, "_stored", late)
    assert lake.tables().take(known, START)[0] == Counts(rows=3, already_ingested=3)
    assert list(lake.positions()) == ["tx-1"]
    assert sorted(row["row_number"] for row in lake.stored(REJECTED)) == [0, 1]


def test_another_run_at_the_same_time_takes_nothing_in_twice(
    lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    others: list[Callable[[], object]] = [
        lambda: lake.take_file(transactions(8, 10)),
        lambda: lake.tables().take(lake.records(0, 0, [*transactions(0, 4), b"{}"]), START),
    ]
    stored = TopicTables._stored

    def late(tables: TopicTables, events: pa.Table) -> pa.Table:
        rows = stored(tables, events)
        if others:
            others.pop(0)()
        return rows

    monkeypatch.setattr(TopicTables, "_stored", late)
    rows = lake.records(0, 0, [*transactions(0, 4), b"{}", *transactions(5, 9)])
    counts, covered = lake.tables().take(rows, START)

    assert not others
    assert counts == Counts(rows=9, ingested=3, duplicates=1, already_ingested=5)
    assert covered == lake.covered() == {0: 9, 1: 0}
    assert set(lake.positions()) == {f"tx-{number}" for number in (0, 1, 2, 3, 5, 6, 7, 8, 9)}
    assert len(lake.stored(REJECTED)) == 1


def test_what_another_run_has_taken_in_is_not_said_to_be_less(lake: Lake) -> None:
    behind = lake.tables()
    lake.tables().take(lake.records(0, 0, transactions(0, 9)), START)
    counts, covered = behind.take(lake.records(0, 0, transactions(0, 4)), START)
    assert counts == Counts(rows=4, already_ingested=4)
    assert covered == lake.covered() == {0: 9, 1: 0}
    counts, covered = behind.take(lake.records(0, 4, transactions(4, 12)), covered)
    assert counts == Counts(rows=8, ingested=3, already_ingested=5)
    assert covered == lake.covered() == {0: 12, 1: 0}


def test_only_duplicates_and_only_refused_records_move_the_offsets_too(lake: Lake) -> None:
    tables = lake.tables()
    _, covered = tables.take(lake.records(0, 0, transactions(0, 3)), START)
    _, covered = tables.take(lake.records(1, 0, transactions(0, 3)), covered)
    _, covered = tables.take(lake.records(1, 3, [b"", b""]), covered)
    assert covered == lake.covered() == {0: 3, 1: 5}
    assert len(lake.stored()) == 3


def test_a_topic_made_anew_counts_from_its_own_start(lake: Lake) -> None:
    lake.tables(identity=1).take(lake.records(0, 0, transactions(0, 9)), START)
    anew = lake.tables(identity=2)
    assert anew.covered().of(2) == {}
    counts, _ = anew.take(lake.records(0, 0, transactions(7, 12)), START)
    assert (counts.ingested, counts.duplicates) == (3, 2)
    assert lake.covered() == {0: 5, 1: 0}
    assert lake.tables(identity=2).covered().of(2) == {0: 5, 1: 0}


def test_offsets_are_found_when_the_commits_that_moved_them_are_gone(lake: Lake) -> None:
    lake.tables().take(lake.records(0, 0, transactions(0, 9)), START)
    lake.take_file(transactions(20, 22))
    lake.warehouse.open(BRONZE).create_checkpoint()
    *older, _ = sorted(Path(lake.warehouse.uri(BRONZE), "_delta_log").glob("*.json"))
    for commit in older:
        commit.unlink()
    lake.take_file(transactions(30, 33))
    assert lake.warehouse.open(BRONZE).version() == 3
    assert lake.covered() == {0: 9, 1: 0}


def test_a_commit_without_records_moves_the_offsets_past_what_is_lost(lake: Lake) -> None:
    counts, covered = lake.tables().take(no_rows(lake.contract), {0: 5, 1: 2})
    assert counts == Counts()
    assert covered == lake.covered() == {0: 5, 1: 2}


def test_a_table_that_knows_nothing_of_the_topic_covers_nothing(lake: Lake) -> None:
    assert lake.covered() == {}
    lake.take_file(transactions(0, 2))
    assert lake.covered() == {}
