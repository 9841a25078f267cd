"""The file of the embedded online store: connections to it, and its transactions."""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

from headrace_features.exclusive import taking_turns
from headrace_features.online.sqlite_schema import lay_out
from headrace_schemas.errors import ConfigurationError, HeadraceError, RetryableError

#: How long a writer waits for another one's transaction.
_WRITER_WAITS_S = 30.0
_BUSY = frozenset({sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED})
_OUR_MISTAKES = (sqlite3.ProgrammingError, sqlite3.InterfaceError, sqlite3.IntegrityError)
#: Bytes of a page in a file that is made: most fields of a busy entity lie in one, not beside it.
_PAGE = 8_192
#: Memory of a connection for pages of the file, as SQLite has it: in KiB, less than 0.
_CACHE = -16_384
#: How often the log of what was written is looked at, and how many pages may be in it.
_EMPTIED_S = 0.02
_LOGGED_PAGES = 8_000


class _Opened(NamedTuple):
    """A thread's connection: whose it is, to which file, and the short names of views there."""

    pid: int
    file: tuple[int, int] | None
    db: sqlite3.Connection
    numbers: dict[str, int]


class SqliteFile:
    """A database file; safe for threads, processes and forks.

    Attributes:
        path: of the file.
    """

    def __init__(self, path: Path, timeout_s: float) -> None:
        """Name the file; it is made when something is first written.

        Args:
            path: of the file.
            timeout_s: how long a read waits for somebody who has locked it.
        """
        self.path = path
        self._timeout_s = timeout_s
        self._local = threading.local()

    def number(self, db: sqlite3.Connection, view: str) -> int | None:
        """The short name of a view in the tables; None where nothing was written of it.

        For reads, which see nothing that may yet be rolled back: it is remembered.
        """
        numbers = self._local.opened.numbers
        if view not in numbers:
            number = _number_of(db, view)
            if number is None:
                return None
            numbers[view] = number
        found: int = numbers[view]
        return found

    @staticmethod
    def made_number(db: sqlite3.Connection, view: str) -> int:
        """The short name of a view in the tables, which is made where there is none."""
        number = _number_of(db, view)
        if number is not None:
            return number
        return int(db.execute("INSERT INTO view (key) VALUES (?)", (view,)).lastrowid or 0)

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """All or nothing of what is written inside; writers come one after the other."""
        db = self._connection(_WRITER_WAITS_S)
        try:
            db.execute(f"PRAGMA busy_timeout = {_WRITER_WAITS_S * 1000:.0f}")
            try:
                db.execute("BEGIN IMMEDIATE")
                yield db
                db.execute("COMMIT")
            finally:
                # An error such as a full disk may have rolled it back already.
                if db.in_transaction:
                    db.execute("ROLLBACK")
                db.execute(f"PRAGMA busy_timeout = {self._timeout_s * 1000:.0f}")
        except sqlite3.DatabaseError as error:
            if isinstance(error, _OUR_MISTAKES):
                raise
            raise self._told(error, "written") from error

    @contextmanager
    def emptying_log(self) -> Iterator[None]:
        """What transactions inside write comes into the file beside them.

        Each comes into a log first. To bring it from there into the file means to wait for the
        disk, which else whoever writes does after every thousand pages. Now that is after many
        more, so that the log stays bounded: it begins anew only when all of it is in the file.
        """
        db = self._connection(_WRITER_WAITS_S)
        (pages,) = db.execute("PRAGMA wal_autocheckpoint").fetchone()
        done = threading.Event()
        beside = threading.Thread(target=self._empty_log_until, args=(done,), daemon=True)
        db.execute(f"PRAGMA wal_autocheckpoint = {_LOGGED_PAGES}")
        beside.start()
        try:
            yield
        finally:
            done.set()
            beside.join()
            db.execute(f"PRAGMA wal_autocheckpoint = {pages}")

    def _empty_log_until(self, done: threading.Event) -> None:
        # What this can't do the next one does who writes.
        with suppress(sqlite3.DatabaseError, HeadraceError), closing(self):
            db = self._connection(self._timeout_s)
            while not done.wait(_EMPTIED_S):
                db.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()

    @contextmanager
    def snapshot(self) -> Iterator[sqlite3.Connection]:
        """What is read inside is of one moment."""
        db = self._connection(self._timeout_s)
        try:
            db.execute("BEGIN")
            try:
                yield db
            finally:
                db.execute("COMMIT")
        except sqlite3.DatabaseError as error:
            raise self._told(error, "read") from error

    def _told(self, error: sqlite3.DatabaseError, done: str) -> RetryableError:
        message = f"the online store {self.path} can't be {done}: {error}"
        if isinstance(error, sqlite3.OperationalError):
            return RetryableError(message, hint="is another writer busy, or the disk full?")
        return RetryableError(
            message, hint="if it is damaged, remove it and run: headrace online rebuild"
        )

    def _connection(self, patience_s: float) -> sqlite3.Connection:
        """This thread's connection; one from before a fork, or to a removed file, is never used."""
        file = _identity(self.path)
        opened: _Opened | None = getattr(self._local, "opened", None)
        if opened is None or file is None or opened[:2] != (os.getpid(), file):
            connection = self._open(patience_s)
            opened = _Opened(os.getpid(), _identity(self.path), connection, {})
            self._local.opened = opened
        return opened.db

    def _open(self, patience_s: float) -> sqlite3.Connection:
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            # The mode of a new file is changed at once or not at all: nothing waits for another one
            # that does so.
            with taking_turns(self.path.with_name(f"{self.path.name}-opening")):
                db = sqlite3.connect(self.path, timeout=patience_s, isolation_level=None)
                db.execute(f"PRAGMA page_size = {_PAGE}")
                db.execute("PRAGMA journal_mode = WAL")
                db.execute("PRAGMA synchronous = NORMAL")
                db.execute(f"PRAGMA cache_size = {_CACHE}")
                lay_out(db, self.path)
        except (sqlite3.DatabaseError, OSError) as error:
            if getattr(error, "sqlite_errorcode", None) in _BUSY:
                raise self._told(error, "opened") from error  # type: ignore[arg-type] # it has a code
            message = f"the online store {self.path} can't be opened: {error}"
            raise ConfigurationError(
                message, hint="see [online] path; it can be rebuilt by: headrace online rebuild"
            ) from error
        return db

    def close(self) -> None:
        """End this thread's connection."""
        opened: _Opened | None = getattr(self._local, "opened", None)
        if opened is not None and opened.pid == os.getpid():
            opened.db.close()
        self._local.opened = None


def _number_of(db: sqlite3.Connection, view: str) -> int | None:
    row = db.execute("SELECT id FROM view WHERE key = ?", (view,)).fetchone()
    return None if row is None else int(row[0])


def _identity(path: Path) -> tuple[int, int] | None:
    """Which file it is; None where there is none."""
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    return found.st_dev, found.st_ino
