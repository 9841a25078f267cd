"""Entity state in SQLite: the embedded online store.

A batch layer is written as a generation that nobody reads until one pointer moves to it, in one
transaction; the generation before it is kept. A writer that is overtaken finds its generation
gone and stops.
"""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from headrace_schemas.errors import ConfigurationError, RetryableError

_SCHEMA = """
CREATE TABLE IF NOT EXISTS generation (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    view TEXT NOT NULL,
    boundary_ms INTEGER NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('building', 'current', 'previous'))
);
CREATE TABLE IF NOT EXISTS field (
    generation INTEGER NOT NULL,
    entity BLOB NOT NULL,
    name TEXT NOT NULL,
    value BLOB NOT NULL,
    PRIMARY KEY (generation, entity, name)
) WITHOUT ROWID;
"""
#: How long a writer waits for another one's transaction.
_BUSY_TIMEOUT_S = 30.0

Row = tuple[bytes, str, bytes]


@dataclass(frozen=True, slots=True)
class Generation:
    """One published or growing batch layer of a view version."""

    id: int
    view: str
    boundary_ms: int


class SqliteStateStore:
    """State fields by view, generation and entity; safe for threads, processes and forks."""

    def __init__(self, path: Path) -> None:
        """Name the database file; it is made when something is first written."""
        self.path = path
        self._local = threading.local()

    def begin(self, view: str, boundary_ms: int) -> Generation:
        """Start a generation of a view's batch layer; one that was being built is given up.

        Raises:
            ConfigurationError: readers have a generation with a later boundary already.
        """
        with self._transaction() as db:
            self._require_no_later(db, view, boundary_ms)
            self._drop(db, view, "building")
            cursor = db.execute(
                "INSERT INTO generation (view, boundary_ms, state) VALUES (?, ?, 'building')",
                (view, boundary_ms),
            )
            return Generation(int(cursor.lastrowid or 0), view, boundary_ms)

    def write(self, generation: Generation, rows: Iterable[Row]) -> int:
        """Add fields (entity, name, value) to a generation; returns how many.

        Raises:
            RetryableError: another writer has begun a generation of the same view since.
        """
        with self._transaction() as db:
            self._require_building(db, generation)
            cursor = db.executemany(
                "INSERT INTO field (generation, entity, name, value) VALUES (?, ?, ?, ?)",
                ((generation.id, *row) for row in rows),
            )
            return cursor.rowcount

    def publish(self, generation: Generation) -> None:
        """Let readers see a generation instead of the one before it, in one step.

        Raises:
            RetryableError: another writer has begun a generation of the same view since.
            ConfigurationError: readers have one with a later boundary by now.
        """
        with self._transaction() as db:
            self._require_building(db, generation)
            self._require_no_later(db, generation.view, generation.boundary_ms)
            self._drop(db, generation.view, "previous")
            db.execute(
                "UPDATE generation SET state = 'previous' WHERE view = ? AND state = 'current'",
                (generation.view,),
            )
            db.execute("UPDATE generation SET state = 'current' WHERE id = ?", (generation.id,))

    def read(
        self, view: str, entities: Sequence[bytes]
    ) -> tuple[Generation | None, Mapping[bytes, Mapping[str, bytes]]]:
        """The published generation of a view, and the fields that it has of some entities.

        Both come from one snapshot. An entity without state is left out.
        """
        if not self.path.exists():
            return None, {}
        fields: dict[bytes, dict[str, bytes]] = {}
        with self._snapshot() as db:
            row = db.execute(
                "SELECT id, boundary_ms FROM generation WHERE view = ? AND state = 'current'",
                (view,),
            ).fetchone()
            if row is None:
                return None, {}
            generation = Generation(row[0], view, row[1])
            for entity in dict.fromkeys(entities):
                found = db.execute(
                    "SELECT name, value FROM field WHERE generation = ? AND entity = ?",
                    (generation.id, entity),
                ).fetchall()
                if found:
                    fields[entity] = dict(found)
        return generation, fields

    def remove(self) -> None:
        """Delete the database and everything in it."""
        self._close()
        for suffix in ("", "-wal", "-shm"):
            Path(f"{self.path}{suffix}").unlink(missing_ok=True)

    @staticmethod
    def _drop(db: sqlite3.Connection, view: str, state: str) -> None:
        chosen = "SELECT id FROM generation WHERE view = ? AND state = ?"
        db.execute(f"DELETE FROM field WHERE generation IN ({chosen})", (view, state))  # noqa: S608 - a constant
        db.execute("DELETE FROM generation WHERE view = ? AND state = ?", (view, state))

    @staticmethod
    def _require_building(db: sqlite3.Connection, generation: Generation) -> None:
        row = db.execute("SELECT state FROM generation WHERE id = ?", (generation.id,)).fetchone()
        if row is None or row[0] != "building":
            message = f"another materialization of {_view_name(generation.view)} has taken over"
            raise RetryableError(message, hint="wait for it, then run this one again if needed")

    def _require_no_later(self, db: sqlite3.Connection, view: str, boundary_ms: int) -> None:
        """Refuse to put an older layer over a newer one, which would lose events in silence."""
        row = db.execute(
            "SELECT boundary_ms FROM generation WHERE view = ? AND state = 'current'", (view,)
        ).fetchone()
        if row is not None and row[0] > boundary_ms:
            held, asked = (
                datetime.fromtimestamp(ms / 1000, UTC).strftime("%Y-%m-%d %H:%M UTC")
                for ms in (row[0], boundary_ms)
            )
            message = f"the online store holds {_view_name(view)} up to {held}, later than {asked}"
            raise ConfigurationError(
                message, hint=f"give a later --date; to start anew, remove {self.path}"
            )

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        db = self._connection()
        try:
            db.execute("BEGIN IMMEDIATE")
            try:
                yield db
            except BaseException:
                db.execute("ROLLBACK")
                raise
            db.execute("COMMIT")
        except sqlite3.OperationalError as error:
            message = f"the online store {self.path} can't be written: {error}"
            raise RetryableError(
                message, hint="is another writer busy, or the disk full?"
            ) from error

    @contextmanager
    def _snapshot(self) -> Iterator[sqlite3.Connection]:
        db = self._connection()
        db.execute("BEGIN")
        try:
            yield db
        finally:
            db.execute("COMMIT")

    def _connection(self) -> sqlite3.Connection:
        """This thread's connection; one from before a fork is never used."""
        opened = getattr(self._local, "opened", None)
        if opened is None or opened[0] != os.getpid():
            opened = (os.getpid(), self._open())
            self._local.opened = opened
        connection: sqlite3.Connection = opened[1]
        return connection

    def _open(self) -> sqlite3.Connection:
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            db = sqlite3.connect(self.path, timeout=_BUSY_TIMEOUT_S, isolation_level=None)
            db.execute("PRAGMA journal_mode = WAL")
            db.execute("PRAGMA synchronous = NORMAL")
            db.executescript(_SCHEMA)
        except (sqlite3.DatabaseError, OSError) as error:
            message = f"the online store {self.path} can't be opened: {error}"
            raise ConfigurationError(
                message, hint="see [online] path; the store can be rebuilt by headrace materialize"
            ) from error
        return db

    def _close(self) -> None:
        opened = getattr(self._local, "opened", None)
        if opened is not None and opened[0] == os.getpid():
            opened[1].close()
        self._local.opened = None


def _view_name(key: str) -> str:
    """What people call the view that is kept under a key of its meaning."""
    return key.partition(":")[0]
