"""What is special about the embedded online store: one file, one process or many."""

from __future__ import annotations

import multiprocessing
import sqlite3
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier
from typing import Any

import pytest

from headrace_features.online.layers import NO_LAYERS, Generation, Had
from headrace_features.online.sqlite_file import SqliteFile
from headrace_features.online.sqlite_schema import lay_out
from headrace_features.online.sqlite_store import SqliteStateStore
from headrace_features.online.store import Noted, Progress, Row
from headrace_schemas.errors import ConfigurationError, RetryableError
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


def test_only_the_newest_generation_is_kept(store: SqliteStateStore) -> None:
    for number in range(5):
        publish(store, "view", {b"card": {"r1": bytes([number])}}, number)
    with sqlite3.connect(store.path) as db:
        states = db.execute("SELECT boundary_ms, state FROM generation ORDER BY id").fetchall()
        fields = db.execute("SELECT count(*) FROM batch").fetchone()
    db.close()
    assert states == [(4, "current")]
    assert fields == (1,)


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
    for file in tmp_path.glob("online.db*"):
        file.unlink()
    assert batch_of(reader, "view", b"card") == {}
    publish(other, "view", {b"card": {"r1": b"new"}}, 1)
    assert batch_of(reader, "view", b"card") == {"r1": b"new"}


def test_others_go_on_with_the_file_that_everything_is_removed_from(tmp_path: Path) -> None:
    path = tmp_path / "online.db"
    writer, other = SqliteStateStore(path), SqliteStateStore(path)
    publish(writer, "view", {b"card": {"r1": b"old"}}, 1)
    apply(writer, change("r1", 1, 1, b"old"))
    file = path.stat().st_ino
    other.remove()
    # A second file of changes beside the same database would take what is written here.
    assert path.stat().st_ino == file
    assert (batch_of(writer, "view", b"card"), writer.progress()) == ({}, {})
    apply(writer, change("r2", 1, 1, b"new"))
    assert stream_of(SqliteStateStore(path), "view", b"card") == {"r2": b"new"}


def spoil(path: Path) -> None:
    """Damage all pages but the first."""
    content = bytearray(path.read_bytes())
    page = int.from_bytes(content[16:18])
    content[page:] = b"\xa5" * (len(content) - page)
    path.write_bytes(content)


def test_damage_amidst_a_file_is_told_by_reads_and_writes_and_removed_by_removing(
    store: SqliteStateStore,
) -> None:
    publish(store, "view", {b"card": {"r1": b"1"}}, 1)
    store._file.close()
    spoil(store.path)
    with pytest.raises(RetryableError, match=r"can't be written: .*malformed.*online rebuild"):
        store.covers("view", 1, 0)
    with pytest.raises(RetryableError, match=r"can't be read: .*malformed.*online rebuild"):
        batch_of(store, "view", b"card")
    store.remove()
    publish(store, "view", {b"card": {"r1": b"2"}}, 1)
    assert batch_of(store, "view", b"card") == {"r1": b"2"}


def test_a_read_waits_no_longer_than_it_may_for_who_has_locked_the_file(tmp_path: Path) -> None:
    path = tmp_path / "online.db"
    writer = SqliteStateStore(path)
    publish(writer, "view", {b"card": {"r1": b"1"}}, 1)
    writer._file.close()
    holder = sqlite3.connect(path, isolation_level=None)
    holder.execute("PRAGMA locking_mode = EXCLUSIVE")
    holder.execute("BEGIN EXCLUSIVE")
    holder.execute("DELETE FROM progress")
    # It would wait for ever: the one who holds the lock is this thread.
    with pytest.raises(RetryableError, match="database is locked"):
        batch_of(SqliteStateStore(path, timeout_s=0.05), "view", b"card")
    holder.execute("COMMIT")
    holder.close()
    assert batch_of(SqliteStateStore(path), "view", b"card") == {"r1": b"1"}


class Interrupted(sqlite3.Connection):
    """A connection whose user loses patience when a certain table is made."""

    def execute(self, sql: str, *arguments: Any) -> sqlite3.Cursor:
        if "TABLE IF NOT EXISTS stream " in sql:
            raise KeyboardInterrupt
        return super().execute(sql, *arguments)


def test_a_file_whose_making_was_interrupted_is_made_the_next_time(
    store: SqliteStateStore,
) -> None:
    db = sqlite3.connect(store.path, isolation_level=None, factory=Interrupted)
    with pytest.raises(KeyboardInterrupt):
        lay_out(db, store.path)
    db.close()
    publish(store, "view", {b"card": {"r1": b"1"}}, 1)
    assert batch_of(store, "view", b"card") == {"r1": b"1"}


def test_a_full_disk_is_told_as_that_and_writing_goes_on_later(store: SqliteStateStore) -> None:
    apply(store, change("r1", 1, 1, b"1"))
    db = store._file._connection(1.0)
    (pages,) = db.execute("PRAGMA page_count").fetchone()
    db.execute(f"PRAGMA max_page_count = {pages + 2}")
    with pytest.raises(RetryableError, match="full"):
        apply(store, change("r2", 1, 2, b"2" * 100_000))
    db.execute(f"PRAGMA max_page_count = {pages + 1_000}")
    apply(store, change("r2", 1, 2, b"2" * 100_000))
    assert stream_of(store, "view", b"card").keys() == {"r1", "r2"}


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


def _add_in_child(store: SqliteStateStore, generation: Generation, number: int) -> None:
    for some in range(20):
        rows = [Row(b"%d-%d" % (number, some), f"r{at}", b"x" * 500) for at in range(500)]
        store.write(generation, rows)


def test_processes_that_add_at_once_wait_for_each_other(store: SqliteStateStore) -> None:
    generation = store.begin("view", 1)
    context = multiprocessing.get_context("fork")
    children = [
        context.Process(target=_add_in_child, args=(store, generation, number))
        for number in range(4)
    ]
    for child in children:
        child.start()
    for child in children:
        child.join(timeout=100)
        assert child.exitcode == 0
    store.publish(generation, Had(9, 9))
    found = [batch_of(store, "view", b"%d-%d" % (a, b)) for a in range(4) for b in range(20)]
    assert {len(one) for one in found} == {500}


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


def test_many_who_open_a_store_at_once_for_the_first_time_all_get_it(tmp_path: Path) -> None:
    writers, rounds = 6, 60

    def notes(number: int) -> None:
        store = SqliteStateStore(tmp_path / f"{number // writers}.db")
        together.wait(timeout=30)
        store.note_versions(b"noted", 0)

    together = Barrier(writers)
    with ThreadPoolExecutor(writers) as pool:
        list(pool.map(notes, range(writers * rounds)))
    for number in range(rounds):
        assert SqliteStateStore(tmp_path / f"{number}.db").versions() == Noted(1, b"noted")


def test_the_log_of_what_was_written_is_emptied_beside_those_who_write_and_bounded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("headrace_features.online.sqlite_file._LOGGED_PAGES", 200)
    file = SqliteFile(tmp_path / "online.db", 0.5)
    with file.transaction() as db:
        pages = db.execute("PRAGMA wal_autocheckpoint").fetchone()
    with file.emptying_log():
        with file.transaction() as db:
            db.executemany("INSERT INTO view (key) VALUES (?)", [(f"v{n}",) for n in range(99_000)])
        deadline = time.monotonic() + 20
        while file.path.stat().st_size < 1_000_000:
            assert time.monotonic() < deadline, "nothing comes into the file"
            time.sleep(0.01)
        log, sizes = Path(f"{file.path}-wal"), []
        for turn in range(40):
            # Without a pause in which whoever empties the log could catch up.
            names = [(f"{turn}-{n}" * 9,) for n in range(2_000)]
            with file.transaction() as db:
                db.executemany("INSERT INTO view (key) VALUES (?)", names)
            sizes.append(log.stat().st_size)
    assert max(sizes) < 6_000_000
    with file.snapshot() as db:
        assert db.execute("SELECT count(*) FROM view").fetchone() == (179_000,)
        assert db.execute("PRAGMA wal_autocheckpoint").fetchone() == pages
