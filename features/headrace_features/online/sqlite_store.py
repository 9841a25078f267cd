"""Entity state in SQLite: the embedded online store.

Readers have a snapshot, writers one transaction after the other. A writer that is overtaken finds
its generation gone and stops.
"""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from headrace_features.online.layers import (
    ALWAYS_MS,
    NEVER_MS,
    NO_LAYERS,
    Generation,
    Had,
    Layers,
    least_known,
)
from headrace_features.online.sqlite_reading import current_in, fields_of, layers_in
from headrace_features.online.sqlite_schema import KEPT, lay_out
from headrace_features.online.sqlite_statements import (
    APPLY,
    CAUGHT_UP,
    COVERS,
    PUBLISH,
    SWEPT_ENTITIES,
    SWEPT_FIELDS,
    TOUCH,
)
from headrace_features.online.store import (
    Change,
    Progress,
    Reading,
    Row,
    Wanted,
    Written,
    newest,
    newest_times,
    overtaken,
    require_no_later,
    views_noted,
)
from headrace_features.state.read import Found
from headrace_features.state.stream import is_covered
from headrace_schemas.errors import ConfigurationError, RetryableError

#: How long a writer waits for another one's transaction.
_WRITER_WAITS_S = 30.0
_BUSY = frozenset({sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED})
_OUR_MISTAKES = (sqlite3.ProgrammingError, sqlite3.InterfaceError, sqlite3.IntegrityError)
#: Bytes of a page in a file that is made: most fields of a busy entity lie in one, not beside it.
_PAGE = 8_192
#: Memory of a connection for pages of the file, as SQLite has it: in KiB, less than 0.
_CACHE = -16_384
#: Entities that are swept in one transaction, between which others get to write.
_SWEPT = 5_000


class _Opened(NamedTuple):
    """A thread's connection: whose it is, to which file, and the short names of views there."""

    pid: int
    file: tuple[int, int] | None
    db: sqlite3.Connection
    numbers: dict[str, int]


class SqliteStateStore:
    """The state of entities in a database file; safe for threads, processes and forks."""

    def __init__(self, path: Path, timeout_s: float = 0.5) -> None:
        """Name the database file; it is made when something is first written.

        Args:
            path: of the file.
            timeout_s: how long a read waits for somebody who has locked it.
        """
        self.path = path
        self._timeout_s = timeout_s
        self._local = threading.local()

    def read(self, known: Mapping[str, Layers], wanted: Sequence[Wanted]) -> Reading:
        """The layers of some views and the fields of some entities, from one snapshot."""
        if not self.path.exists():
            nothing = [[Found()] * len(one.entities) for one in wanted]
            return Reading(dict.fromkeys(known, NO_LAYERS), nothing)
        with self._snapshot() as db:
            layers = {view: layers_in(db, view) for view in known}
            if any(layers[view].differs(before) for view, before in known.items()):
                return Reading(layers, None)
            return Reading(layers, [self._found(db, layers[one.view], one) for one in wanted])

    def _found(self, db: sqlite3.Connection, layers: Layers, wanted: Wanted) -> list[Found]:
        number = self._number(db, wanted.view)
        if number is None:
            return [Found()] * len(wanted.entities)
        return fields_of(db, number, None if layers.batch is None else layers.batch.id, wanted)

    def begin(self, view: str, boundary_ms: int) -> Generation:
        """Start a generation of a view's batch layer; one that was being built is given up.

        Raises:
            ConfigurationError: readers have a generation with a later boundary already.
        """
        with self._transaction() as db:
            require_no_later(current_in(db, view), view, boundary_ms, f"remove {self.path}")
            db.execute("DELETE FROM generation WHERE view = ? AND state = 'building'", (view,))
            cursor = db.execute(
                "INSERT INTO generation (view, boundary_ms, state) VALUES (?, ?, 'building')",
                (view, boundary_ms),
            )
            return Generation(int(cursor.lastrowid or 0), view, boundary_ms)

    def write(self, generation: Generation, rows: Iterable[Row]) -> int:
        """Add fields to a generation; returns how many.

        Raises:
            RetryableError: another writer has begun a generation of the same view since.
        """
        with self._transaction() as db:
            _require_building(db, generation)
            view = self._made_number(db, generation.view)
            cursor = db.executemany(
                "INSERT INTO batch (view, entity, field, generation, content)"
                " VALUES (?, ?, ?, ?, ?)",
                ((view, row.entity, row.field, generation.id, row.content) for row in rows),
            )
            return cursor.rowcount

    def publish(self, generation: Generation, had: Had) -> None:
        """Let readers see a generation instead of the one before it, in one step.

        Raises:
            RetryableError: another writer has begun a generation of the same view since.
            ConfigurationError: readers have one with a later boundary by now.
        """
        view = generation.view
        with self._transaction() as db:
            _require_building(db, generation)
            current = current_in(db, view)
            require_no_later(current, view, generation.boundary_ms, f"remove {self.path}")
            db.execute("DELETE FROM generation WHERE view = ? AND state = 'previous'", (view,))
            db.execute(
                "UPDATE generation SET state = 'previous' WHERE view = ? AND state = 'current'",
                (view,),
            )
            db.execute(PUBLISH, (*had, generation.id))
        if current is not None:
            self._sweep(view, current, least_known(current.known_ms, had.known_ms))

    def apply(
        self,
        changes: Sequence[Change],
        progress: Mapping[int, Progress],
        held: Mapping[int, int],
        now_ms: int,
        views: Collection[str] = (),
    ) -> Written:
        """Put changes into the stream layer and note how far that goes, in one transaction."""
        resume: dict[int, int] = {}
        last_words = [change for fields in newest(changes).values() for change in fields.values()]
        times_ms = newest_times(changes)
        with self._transaction() as db:
            set_to = 0
            if views:
                row = db.execute("SELECT views FROM included").fetchone()
                if row is None:
                    # It was emptied: the first to write says what for.
                    db.execute("INSERT INTO included VALUES (?)", (views_noted(views),))
                elif row[0] != views_noted(views):
                    return Written(0, {}, overtaken=True)
            numbers = {view: self._made_number(db, view) for view in times_ms}
            for change in last_words:
                key = (numbers[change.view], change.entity)
                cursor = db.execute(APPLY, (*key, *change[2:5], change.content))
                set_to += cursor.rowcount
            for view, event_time_ms in times_ms.items():
                db.execute(TOUCH, (view, NEVER_MS, event_time_ms, now_ms))
            for partition, one in progress.items():
                row = db.execute(
                    "SELECT next_offset FROM progress WHERE partition = ?", (partition,)
                ).fetchone()
                found = -1 if row is None else row[0]
                if found != held[partition]:
                    resume[partition] = max(found, 0)
                    continue
                db.execute("INSERT OR REPLACE INTO progress VALUES (?, ?, ?)", (partition, *one))
        return Written(len(last_words) - set_to, resume)

    def include(self, views: Collection[str]) -> bool:
        """Have the stream layer hold every update of some views; whether it has to begin again."""
        with self._transaction() as db:
            row = db.execute("SELECT views FROM included").fetchone()
            lacks = row is None or not {*views} <= {*row[0].split()}
            began = lacks and db.execute("DELETE FROM progress").rowcount > 0
            db.execute("DELETE FROM included")
            db.execute("INSERT INTO included VALUES (?)", (views_noted(views),))
        return began

    def progress(self) -> dict[int, Progress]:
        """How far the stream layer has come, by partition."""
        if not self.path.exists():
            return {}
        with self._snapshot() as db:
            rows = db.execute("SELECT partition, next_offset, current_ms FROM progress").fetchall()
        return {partition: Progress(*rest) for partition, *rest in rows}

    def covers(self, view: str, epoch: int, since_ms: int) -> None:
        """Note from when on a deployment and those that go on from it have all events of a view."""
        with self._transaction() as db:
            db.execute(COVERS, (view, epoch, since_ms, ALWAYS_MS))

    def caught_up(self, views: Mapping[str, int], current_ms: int) -> None:
        """Note that the stream layer has all events of some views that were sent by a time."""
        with self._transaction() as db:
            db.executemany(CAUGHT_UP, [(current_ms, *one) for one in views.items()])

    def remove(self) -> None:
        """Delete everything that is kept; the file stays, since others may be writing to it.

        One that can't be read, so that nobody writes to it, is deleted itself.
        """
        if not self.path.exists():
            return
        try:
            with self._transaction() as db:
                for table in KEPT:
                    db.execute(f"DELETE FROM {table}")  # noqa: S608 - a name of ours
        except (ConfigurationError, RetryableError) as error:
            if isinstance(error.__cause__, sqlite3.OperationalError):
                raise
            self._close()
            for suffix in ("", "-wal", "-shm"):
                Path(f"{self.path}{suffix}").unlink(missing_ok=True)

    def _sweep(self, view: str, kept: Generation, known_ms: int | None) -> None:
        """Delete what no reader of a generation, or of a later one, looks at.

        Some entities at a time, so that others get to write in between.
        """
        # Before every key: to SQLite numbers are less than bytes.
        after: bytes | int = -1
        while True:
            with self._transaction() as db:
                number = self._made_number(db, view)
                rows = db.execute(SWEPT_ENTITIES, (number, after, number, after, _SWEPT)).fetchall()
                if not rows:
                    return
                span = (number, after, rows[-1][0])
                db.execute(
                    "DELETE FROM batch WHERE view = ? AND entity > ? AND entity <= ?"
                    " AND generation < ?",
                    (*span, kept.id),
                )
                covered = [
                    (number, entity, field)
                    for entity, field, content in db.execute(SWEPT_FIELDS, span)
                    if is_covered(field, content, kept.whole_ms, known_ms)
                ]
                db.executemany(
                    "DELETE FROM stream WHERE view = ? AND entity = ? AND field = ?", covered
                )
                after = rows[-1][0]

    def _number(self, db: sqlite3.Connection, view: str) -> int | None:
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
    def _made_number(db: sqlite3.Connection, view: str) -> int:
        number = _number_of(db, view)
        if number is not None:
            return number
        return int(db.execute("INSERT INTO view (key) VALUES (?)", (view,)).lastrowid or 0)

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
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
    def _snapshot(self) -> Iterator[sqlite3.Connection]:
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

    def _close(self) -> None:
        opened: _Opened | None = getattr(self._local, "opened", None)
        if opened is not None and opened.pid == os.getpid():
            opened.db.close()
        self._local.opened = None


def _number_of(db: sqlite3.Connection, view: str) -> int | None:
    row = db.execute("SELECT id FROM view WHERE key = ?", (view,)).fetchone()
    return None if row is None else int(row[0])


def _require_building(db: sqlite3.Connection, generation: Generation) -> None:
    row = db.execute("SELECT state FROM generation WHERE id = ?", (generation.id,)).fetchone()
    if row is None or row[0] != "building":
        raise overtaken(generation.view)


def _identity(path: Path) -> tuple[int, int] | None:
    """Which file it is; None where there is none."""
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    return found.st_dev, found.st_ino
