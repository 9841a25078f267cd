"""Entity state in SQLite: the embedded online store.

Readers have a snapshot, writers one transaction after the other. A writer that is overtaken finds
its generation gone and stops.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from headrace_features.online.layers import (
    ALWAYS_MS,
    NEVER_MS,
    NO_LAYERS,
    Layers,
    LayerSize,
)
from headrace_features.online.sqlite_contents import contents_in, drop_from, sizes_in
from headrace_features.online.sqlite_file import SqliteFile
from headrace_features.online.sqlite_generations import Generations
from headrace_features.online.sqlite_reading import fields_of, layers_in
from headrace_features.online.sqlite_schema import KEPT
from headrace_features.online.sqlite_statements import (
    ADVANCE,
    APPLY,
    CAUGHT_UP,
    COVERS,
    FORGET,
    INCLUDE,
    INCLUDED,
    NOTE_VERSIONS,
    OFFSET,
    PROGRESS,
    TOUCH,
    VERSIONS,
    VERSIONS_NUMBER,
)
from headrace_features.online.store import (
    Change,
    Noted,
    Progress,
    Reading,
    Wanted,
    Written,
    newest,
    newest_times,
    views_noted,
)
from headrace_features.state.read import Found
from headrace_schemas.errors import ConfigurationError, RetryableError


class SqliteStateStore(Generations):
    """The state of entities in a database file; safe for threads, processes and forks."""

    def __init__(self, path: Path, timeout_s: float = 0.5, *, namespace: str = "") -> None:
        """Name the database file; it is made when something is first written.

        Args:
            path: of the file.
            timeout_s: how long a read waits for somebody who has locked it.
            namespace: whose progress it keeps.
        """
        self.path = path
        self._namespace = namespace
        self._timeout_s = timeout_s
        super().__init__(SqliteFile(path, timeout_s))

    def __reduce__(self) -> tuple[Any, ...]:
        make = partial(SqliteStateStore, namespace=self._namespace)
        return make, (self.path, self._timeout_s)

    def read(self, known: Mapping[str, Layers], wanted: Sequence[Wanted]) -> Reading:
        """The layers of some views and the fields of some entities, from one snapshot."""
        if not self.path.exists():
            nothing = [[Found()] * len(one.entities) for one in wanted]
            return Reading(dict.fromkeys(known, NO_LAYERS), nothing, 0)
        with self._file.snapshot() as db:
            (versions,) = db.execute(VERSIONS_NUMBER).fetchone()
            layers = {view: layers_in(db, view) for view in known}
            if any(layers[view].differs(before) for view, before in known.items()):
                return Reading(layers, None, versions)
            found = [self._found(db, layers[one.view], one) for one in wanted]
            return Reading(layers, found, versions)

    def _found(self, db: sqlite3.Connection, layers: Layers, wanted: Wanted) -> list[Found]:
        number = self._file.number(db, wanted.view)
        if number is None:
            return [Found()] * len(wanted.entities)
        return fields_of(db, number, layers.batch, wanted)

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
        with self._file.transaction() as db:
            set_to = 0
            if views:
                row = db.execute(INCLUDED, (self._namespace,)).fetchone()
                if row is None:
                    # It was emptied: the first to write says what for.
                    db.execute(INCLUDE, (self._namespace, views_noted(views)))
                elif row[0] != views_noted(views):
                    return Written(0, {}, overtaken=True)
            numbers = {view: self._file.made_number(db, view) for view in times_ms}
            for change in last_words:
                key = (numbers[change.view], change.entity)
                cursor = db.execute(APPLY, (*key, *change[2:5], change.content))
                set_to += cursor.rowcount
            for view, event_time_ms in times_ms.items():
                db.execute(TOUCH, (view, NEVER_MS, event_time_ms, now_ms))
            for partition, one in progress.items():
                row = db.execute(OFFSET, (self._namespace, partition)).fetchone()
                found = -1 if row is None else row[0]
                if found != held[partition]:
                    resume[partition] = max(found, 0)
                    continue
                db.execute(ADVANCE, (self._namespace, partition, *one))
        return Written(len(last_words) - set_to, resume)

    def include(self, views: Collection[str]) -> bool:
        """Have the stream layer hold every update of some views; whether it has to begin again."""
        with self._file.transaction() as db:
            row = db.execute(INCLUDED, (self._namespace,)).fetchone()
            lacks = row is None or not {*views} <= {*row[0].split()}
            began = lacks and db.execute(FORGET, (self._namespace,)).rowcount > 0
            db.execute(INCLUDE, (self._namespace, views_noted(views)))
        return began

    def progress(self) -> dict[int, Progress]:
        """How far the stream layer has come, by partition."""
        if not self.path.exists():
            return {}
        with self._file.snapshot() as db:
            rows = db.execute(PROGRESS, (self._namespace,)).fetchall()
        return {partition: Progress(*rest) for partition, *rest in rows}

    def covers(self, view: str, epoch: int, since_ms: int) -> None:
        """Note from when on a deployment and those that go on from it have all events of a view."""
        with self._file.transaction() as db:
            db.execute(COVERS, (view, epoch, since_ms, ALWAYS_MS))

    def caught_up(self, views: Mapping[str, int], current_ms: int) -> None:
        """Note that the stream layer has all events of some views that were sent by a time."""
        with self._file.transaction() as db:
            db.executemany(CAUGHT_UP, [(current_ms, *one) for one in views.items()])

    def versions(self) -> Noted:
        """The document of versions."""
        if not self.path.exists():
            return Noted(0, b"")
        with self._file.snapshot() as db:
            return Noted(*db.execute(VERSIONS).fetchone())

    def note_versions(self, content: bytes, held: int) -> bool:
        """Put another document of versions in the place of the one that has a number."""
        with self._file.transaction() as db:
            return db.execute(NOTE_VERSIONS, (content, held)).rowcount > 0

    def contents(self, view: str) -> Iterator[tuple[bytes, str, bytes]]:
        """Entity, field and content of the stream layer of a view, some at a time."""
        return contents_in(self._file, view) if self.path.exists() else iter(())

    def sizes(self) -> list[LayerSize]:
        """What each layer of each view takes, of all views that anything is kept of."""
        return sizes_in(self._file) if self.path.exists() else []

    def drop(self, views: Collection[str]) -> None:
        """Delete all that is kept of some views, and the progress of the namespace before it."""
        if self.path.exists():
            drop_from(self._file, self._namespace, views)

    def remove(self) -> None:
        """Delete everything that is kept, but the document of versions.

        The file stays, since others may be writing to it. One that can't be read, so that nobody
        writes to it, is deleted itself, and the document with it.
        """
        if not self.path.exists():
            return
        try:
            with self._file.transaction() as db:
                for table in KEPT:
                    db.execute(f"DELETE FROM {table}")  # noqa: S608 - a name of ours
        except (ConfigurationError, RetryableError) as error:
            if isinstance(error.__cause__, sqlite3.OperationalError):
                raise
            self._file.close()
            for suffix in ("", "-wal", "-shm"):
                Path(f"{self.path}{suffix}").unlink(missing_ok=True)
