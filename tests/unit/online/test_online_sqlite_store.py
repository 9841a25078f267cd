"""The embedded online store: generations move as a whole, and an overtaken writer stops."""

from __future__ import annotations

import multiprocessing
import sqlite3
from pathlib import Path

import pytest

from headrace_features.online.sqlite_store import SqliteStateStore
from headrace_schemas.errors import ConfigurationError, RetryableError


@pytest.fixture
def store(tmp_path: Path) -> SqliteStateStore:
    """An empty store."""
    return SqliteStateStore(tmp_path / "online.db")


def publish(store: SqliteStateStore, value: bytes, boundary_ms: int) -> None:
    """One generation with one field."""
    generation = store.begin("view", boundary_ms)
    store.write(generation, [(b"card", "d1", value)])
    store.publish(generation)


def test_a_store_that_was_never_written_reads_as_empty_and_makes_no_file(
    store: SqliteStateStore,
) -> None:
    assert store.read("view", [b"card"]) == (None, {})
    assert not store.path.exists()


def test_a_generation_is_invisible_until_it_is_published(store: SqliteStateStore) -> None:
    publish(store, b"old", 1)
    growing = store.begin("view", 2)
    store.write(growing, [(b"card", "d1", b"new"), (b"other", "d1", b"x")])
    generation, fields = store.read("view", [b"card", b"other"])
    assert generation is not None
    assert generation.boundary_ms == 1
    assert fields == {b"card": {"d1": b"old"}}
    store.publish(growing)
    generation, fields = store.read("view", [b"card", b"nobody"])
    assert generation is not None
    assert generation.boundary_ms == 2
    assert fields == {b"card": {"d1": b"new"}}


def test_a_writer_that_is_overtaken_stops_and_publishes_nothing(store: SqliteStateStore) -> None:
    slow = store.begin("view", 1)
    store.write(slow, [(b"card", "d1", b"slow")])
    fast = store.begin("view", 2)
    with pytest.raises(RetryableError, match="has taken over"):
        store.write(slow, [(b"card", "d2", b"slow")])
    with pytest.raises(RetryableError, match="has taken over"):
        store.publish(slow)
    store.write(fast, [(b"card", "d1", b"fast")])
    store.publish(fast)
    assert store.read("view", [b"card"])[1] == {b"card": {"d1": b"fast"}}


def test_an_older_layer_is_not_put_over_a_newer_one(store: SqliteStateStore) -> None:
    day_ms = 86_400_000
    publish(store, b"newer", 2 * day_ms)
    with pytest.raises(
        ConfigurationError, match=r"holds view up to 1970-01-03 .*, later than 1970-01-02"
    ):
        store.begin("view", day_ms)
    publish(store, b"corrected", 2 * day_ms)
    assert store.read("view", [b"card"])[1] == {b"card": {"d1": b"corrected"}}


def test_views_do_not_disturb_each_other(store: SqliteStateStore) -> None:
    publish(store, b"one", 1)
    other = store.begin("other", 5)
    store.write(other, [(b"card", "d1", b"two")])
    store.publish(other)
    assert store.read("view", [b"card"])[1] == {b"card": {"d1": b"one"}}


def test_two_generations_are_kept_and_older_ones_removed(store: SqliteStateStore) -> None:
    for number in range(5):
        publish(store, bytes([number]), number)
    with sqlite3.connect(store.path) as db:
        states = db.execute("SELECT boundary_ms, state FROM generation ORDER BY id").fetchall()
        fields = db.execute("SELECT count(*) FROM field").fetchone()
    db.close()
    assert states == [(3, "previous"), (4, "current")]
    assert fields == (2,)


def test_a_file_that_is_no_database_is_a_clear_error(tmp_path: Path) -> None:
    path = tmp_path / "online.db"
    path.write_text("not a database " * 100, encoding="utf-8")
    with pytest.raises(ConfigurationError, match=r"can't be opened: file is not a database"):
        SqliteStateStore(path).read("view", [b"card"])


def _read_in_child(store: SqliteStateStore, answers: multiprocessing.Queue[object]) -> None:
    answers.put(store.read("view", [b"card"])[1])


def test_a_forked_process_opens_a_connection_of_its_own(store: SqliteStateStore) -> None:
    publish(store, b"value", 1)
    context = multiprocessing.get_context("fork")
    answers = context.Queue()
    child = context.Process(target=_read_in_child, args=(store, answers))
    child.start()
    found = answers.get(timeout=30)
    child.join(timeout=30)
    assert child.exitcode == 0
    assert found == {b"card": {"d1": b"value"}}
    publish(store, b"later", 2)
    assert store.read("view", [b"card"])[1] == {b"card": {"d1": b"later"}}
