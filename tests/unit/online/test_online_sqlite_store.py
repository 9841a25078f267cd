"""What is special about the embedded online store: one file, one process or many."""

from __future__ import annotations

import multiprocessing
import sqlite3
from pathlib import Path

import pytest

from headrace_features.online.sqlite_store import SqliteStateStore
from headrace_features.online.store import NO_LAYERS, Progress
from headrace_schemas.errors import ConfigurationError
from online_stores import apply, batch_of, change, publish, stream_of


@pytest.fixture
def store(tmp_path: Path) -> SqliteStateStore:
    """An empty store."""
    return SqliteStateStore(tmp_path / "online.db")


def test_a_store_that_was_never_written_reads_as_empty_and_makes_no_file(
    store: SqliteStateStore,
) -> None:
    assert store.read({"view": NO_LAYERS}, ()).layers == {"view": NO_LAYERS}
    assert batch_of(store, "view", b"card") == {}
    assert store.progress() == {}
    assert not store.path.exists()


def test_two_generations_are_kept_and_older_ones_removed(store: SqliteStateStore) -> None:
    for number in range(5):
        publish(store, "view", {b"card": {"r1": bytes([number])}}, number)
    with sqlite3.connect(store.path) as db:
        states = db.execute("SELECT boundary_ms, state FROM generation ORDER BY id").fetchall()
        fields = db.execute("SELECT count(*) FROM batch").fetchone()
    db.close()
    assert states == [(3, "previous"), (4, "current")]
    assert fields == (2,)


def test_a_file_that_is_no_database_is_a_clear_error(tmp_path: Path) -> None:
    path = tmp_path / "online.db"
    path.write_text("not a database " * 100, encoding="utf-8")
    with pytest.raises(ConfigurationError, match=r"can't be opened: file is not a database"):
        batch_of(SqliteStateStore(path), "view", b"card")


def test_a_file_of_another_release_is_refused_with_what_to_do(tmp_path: Path) -> None:
    path = tmp_path / "online.db"
    with sqlite3.connect(path) as db:
        db.execute("CREATE TABLE field (generation INTEGER, entity BLOB, name TEXT, value BLOB)")
    db.close()
    with pytest.raises(ConfigurationError, match=r"another release .*headrace online rebuild"):
        batch_of(SqliteStateStore(path), "view", b"card")


def test_a_file_that_is_removed_and_made_anew_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "online.db"
    reader, other = SqliteStateStore(path), SqliteStateStore(path)
    publish(reader, "view", {b"card": {"r1": b"old"}}, 1)
    assert batch_of(reader, "view", b"card") == {"r1": b"old"}
    other.remove()
    assert batch_of(reader, "view", b"card") == {}
    publish(other, "view", {b"card": {"r1": b"new"}}, 1)
    assert batch_of(reader, "view", b"card") == {"r1": b"new"}


def test_a_view_whose_first_changes_are_rolled_back_takes_no_other_s_place(
    store: SqliteStateStore,
) -> None:
    first = [change("r1", 1, 1, b"a", view="one"), change("r2", 1, 2, b"b", view="one")]
    with pytest.raises(KeyError):
        store.apply(first, {0: Progress(2, 7)}, {}, 7)
    apply(store, change("r1", 1, 1, b"c", view="two"))
    assert stream_of(store, "one", b"card") == {}
    apply(store, *first)
    assert stream_of(store, "one", b"card") == {"r1": b"a", "r2": b"b"}
    assert stream_of(store, "two", b"card") == {"r1": b"c"}


def _read_in_child(store: SqliteStateStore, answers: multiprocessing.Queue[object]) -> None:
    answers.put(batch_of(store, "view", b"card"))


def test_a_forked_process_opens_a_connection_of_its_own(store: SqliteStateStore) -> None:
    publish(store, "view", {b"card": {"r1": b"value"}}, 1)
    context = multiprocessing.get_context("fork")
    answers = context.Queue()
    child = context.Process(target=_read_in_child, args=(store, answers))
    child.start()
    found = answers.get(timeout=30)
    child.join(timeout=30)
    assert child.exitcode == 0
    assert found == {"r1": b"value"}
    publish(store, "view", {b"card": {"r1": b"later"}}, 2)
    assert batch_of(store, "view", b"card") == {"r1": b"later"}
