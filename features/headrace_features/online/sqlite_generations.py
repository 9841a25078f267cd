"""Generations of batch layers in the embedded online store.

One that is built anew has rows of its own. One that goes on from another has what differs beside
the rows of its base until readers have it; then it is put with them. In their place at once each
page would be written twice: when the new content comes, and when the former goes.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence

from headrace_features.exclusive import taking_turns
from headrace_features.leases import UNCLAIMED, Claim, Lease
from headrace_features.online.layers import Generation, Had, least_known
from headrace_features.online.sqlite_file import SqliteFile
from headrace_features.online.sqlite_reading import batch_of, current_in
from headrace_features.online.sqlite_statements import (
    BATCH_ENTITIES,
    BEGIN,
    DIFFERING,
    DONE_WITH,
    GONE,
    PUBLISH,
    PUT,
    STREAM_ENTITIES,
    SWEPT_FIELDS,
)
from headrace_features.online.store import (
    Row,
    being_materialized,
    nothing_before,
    overtaken,
    require_no_later,
)
from headrace_features.state.stream import is_covered

#: Entities that are swept in one transaction, between which others get to write.
_SWEPT = 5_000


class Generations:
    """The batch layers of views in a database file, as `StateStore` promises them."""

    def __init__(self, file: SqliteFile) -> None:
        self._file = file

    def begin(
        self,
        view: str,
        boundary_ms: int,
        claim: Claim = UNCLAIMED,
        *,
        goes_on: bool = False,
        above: int = 0,
    ) -> Generation:
        """Start a generation of a view's batch layer; one that was being built is given up.

        Raises:
            LeaseHeldError: somebody else is building one.
            ConfigurationError: readers have a generation with a later boundary already.
            RetryableError: there is none to go on from.
        """
        with self._file.transaction() as db:
            current = current_in(db, view)
            require_no_later(current, view, boundary_ms, f"remove {self._file.path}")
            held = db.execute(
                "SELECT holder, until_ms FROM generation WHERE view = ? AND state = 'building'",
                (view,),
            ).fetchone()
            claim.require_free(None if held is None else Lease(*held), being_materialized(view))
            if goes_on and current is None:
                raise nothing_before(view)
            db.execute(
                "UPDATE generation SET state = 'given up' WHERE view = ? AND state = 'building'",
                (view,),
            )
            base = current.base if goes_on and current else None
            made = (view, boundary_ms, base, claim.holder, claim.until_ms, above)
            number, base = db.execute(BEGIN, made).fetchone()
        self._tidy(view)
        return Generation(number, view, boundary_ms, base=base)

    def renew(self, generation: Generation, until_ms: int) -> None:
        """Hold the lease of a generation for longer.

        Raises:
            RetryableError: another writer has begun a generation of the same view since.
        """
        with self._file.transaction() as db:
            _require_building(db, generation)
            db.execute("UPDATE generation SET until_ms = ? WHERE id = ?", (until_ms, generation.id))

    def kept(
        self, generation: Generation, wanted: Iterable[tuple[bytes, Sequence[str] | None]]
    ) -> list[Mapping[str, bytes]]:
        """What entities have in the generation that another one goes on from."""
        with self._file.snapshot() as db:
            number = self._file.number(db, generation.view)
            if number is None:
                return [{} for _ in wanted]
            where = (number, generation.base)
            return [batch_of(db, where, entity, fields) for entity, fields in wanted]

    def write(self, generation: Generation, rows: Iterable[Row]) -> int:
        """Add fields to a generation; returns how many.

        Raises:
            RetryableError: another writer has begun a generation of the same view since.
        """
        # SQLite itself lets those who wait look again now and then, some of them in vain for long.
        turns = self._file.path.with_name(f"{self._file.path.name}-turns")
        with taking_turns(turns), self._file.transaction() as db:
            _require_building(db, generation)
            view = self._file.made_number(db, generation.view)
            table = "batch" if generation.is_anew else "differing"
            return db.executemany(
                # Whoever repeats a part that a cluster has lost writes it once more.
                f"INSERT OR REPLACE INTO {table}"  # noqa: S608 - a name of ours
                " (view, entity, field, generation, content) VALUES (?, ?, ?, ?, ?)",
                ((view, row.entity, row.field, generation.id, row.content) for row in rows),
            ).rowcount

    def publish(self, generation: Generation, had: Had) -> None:
        """Let readers see a generation instead of the one before it, in one step.

        Raises:
            RetryableError: another writer has begun a generation of the same view since.
            ConfigurationError: readers have one with a later boundary by now.
        """
        view = generation.view
        with self._file.transaction() as db:
            _require_building(db, generation)
            current = current_in(db, view)
            require_no_later(current, view, generation.boundary_ms, f"remove {self._file.path}")
            db.execute("DELETE FROM generation WHERE view = ? AND state = 'current'", (view,))
            db.execute(PUBLISH, (*had, generation.id))
        if current is not None:
            # Those who read have a snapshot: nobody is at the former one after this.
            if generation.is_anew:
                self._remove(view, 0, generation.id - 1)
            else:
                self._settle(view, generation)
            self._trim(view, current, least_known(current.known_ms, had.known_ms))

    def _tidy(self, view: str) -> None:
        """Delete what generations that were given up have written, and what the newest left."""
        with self._file.transaction() as db:
            current = current_in(db, view)
            given_up = db.execute(
                "SELECT id, base FROM generation WHERE view = ? AND state = 'given up'", (view,)
            ).fetchall()
        if current is not None and current.pending:
            # Its writer was killed when readers had it already.
            self._settle(view, current)
        for number, base in given_up:
            if number == base:
                self._remove(view, number, number)
            else:
                for _ in self._differing(view, number):
                    pass
            with self._file.transaction() as db:
                db.execute("DELETE FROM generation WHERE id = ?", (number,))

    def _settle(self, view: str, generation: Generation) -> None:
        """Put what a generation has of its own with the rows of its base."""
        base = generation.base
        with self._file.emptying_log():
            for db, number, rows in self._differing(view, generation.id):
                there = [(number, *row[:2], base, row[2]) for row in rows if row[2]]
                db.executemany(PUT, there)
                db.executemany(GONE, [(number, *row[:2], base) for row in rows if not row[2]])
        with self._file.transaction() as db:
            db.execute("UPDATE generation SET pending = 0 WHERE id = ?", (generation.id,))

    def _differing(
        self, view: str, generation: int
    ) -> Iterator[tuple[sqlite3.Connection, int, list[tuple[bytes, str, bytes]]]]:
        """What a generation has of its own, some in each transaction, after which it is deleted.

        With it the number of the view.
        """
        while True:
            with self._file.transaction() as db:
                number = self._file.made_number(db, view)
                rows = db.execute(DIFFERING, (number, generation, _SWEPT)).fetchall()
                if not rows:
                    return
                yield db, number, rows
                db.execute(DONE_WITH, (number, generation, *rows[-1][:2]))

    def _remove(self, view: str, first: int, last: int) -> None:
        """Delete all fields of some generations, one after the other."""
        for db, span in self._spans(view, BATCH_ENTITIES):
            db.execute(
                "DELETE FROM batch WHERE view = ? AND entity > ? AND entity <= ?"
                " AND generation BETWEEN ? AND ?",
                (*span, first, last),
            )

    def _trim(self, view: str, kept: Generation, known_ms: int | None) -> None:
        """Delete what no reader of a generation, or of a later one, asks of the stream layer."""
        for db, span in self._spans(view, STREAM_ENTITIES):
            covered = [
                (span[0], entity, field)
                for entity, field, content in db.execute(SWEPT_FIELDS, span)
                if is_covered(field, content, kept.whole_ms, known_ms)
            ]
            db.executemany(
                "DELETE FROM stream WHERE view = ? AND entity = ? AND field = ?", covered
            )

    def _spans(
        self, view: str, statement: str
    ) -> Iterator[tuple[sqlite3.Connection, tuple[int, bytes | int, bytes]]]:
        """The entities that a statement finds, some in each transaction, others write in between.

        Of each the number of the view, the key before the first, and the last key.
        """
        # Before every key: to SQLite numbers are less than bytes.
        after: bytes | int = -1
        while True:
            with self._file.transaction() as db:
                number = self._file.made_number(db, view)
                rows = db.execute(statement, (number, after, _SWEPT)).fetchall()
                if not rows:
                    return
                yield db, (number, after, rows[-1][0])
                after = rows[-1][0]


def _require_building(db: sqlite3.Connection, generation: Generation) -> None:
    row = db.execute("SELECT state FROM generation WHERE id = ?", (generation.id,)).fetchone()
    if row is None or row[0] != "building":
        raise overtaken(generation.view)
