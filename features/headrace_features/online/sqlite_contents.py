"""All that the embedded online store keeps of a view: read in full, weighed, and deleted.

Some at a time: others write in between, and neither holds all of it in memory.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import TYPE_CHECKING

from headrace_features.online.layers import LayerSize
from headrace_features.online.sqlite_statements import CONTENTS

if TYPE_CHECKING:
    from headrace_features.online.sqlite_file import SqliteFile

#: Rows of one transaction.
_AT_ONCE = 5_000
#: The tables with fields, and in which order of its columns each has those of a view.
_ORDERS = {
    "stream": "entity, field",
    "batch": "entity, field, generation",
    "differing": "generation, entity, field",
}
#: Which of them a layer is in.
_LAYERS = {"batch": ("batch", "differing"), "stream": ("stream",)}


def contents_in(file: SqliteFile, view: str) -> Iterator[tuple[bytes, str, bytes]]:
    """Entity, field and content of the stream layer of a view, without those that are empty."""
    # Before every key: to SQLite numbers are less than bytes.
    after: tuple[bytes | int, str] = (-1, "")
    while True:
        # None is open while whoever asks is at what they got: they may read and write themselves.
        with file.snapshot() as db:
            number = file.number(db, view)
            rows = db.execute(CONTENTS, (number, *after, _AT_ONCE)).fetchall()
        yield from rows
        if len(rows) < _AT_ONCE:
            return
        after = rows[-1][:2]


def sizes_in(file: SqliteFile) -> list[LayerSize]:
    """What each layer of each view takes."""
    with file.snapshot() as db:
        views = db.execute("SELECT id, key FROM view ORDER BY key").fetchall()
    found = []
    for number, view in views:
        for layer, tables in _LAYERS.items():
            sums = [0, 0, 0]
            for table in tables:
                with file.snapshot() as db:
                    row = db.execute(
                        "SELECT count(DISTINCT entity), count(*),"  # noqa: S608 - a name of ours
                        " coalesce(sum(length(entity) + length(field) + length(content)), 0)"
                        f" FROM {table} WHERE view = ?",
                        (number,),
                    ).fetchone()
                sums = [one + more for one, more in zip(sums, row, strict=True)]
            if sums[1]:
                found.append(LayerSize(view, layer, *sums))
    return found


def drop_from(file: SqliteFile, namespace: str, views: Collection[str]) -> None:
    """Delete the progress of a namespace and the layers of some views, then their fields."""
    with file.transaction() as db:
        for table in ("progress", "included"):
            db.execute(f"DELETE FROM {table} WHERE namespace = ?", (namespace,))  # noqa: S608 - a name of ours
        for table in ("stream_span", "generation"):
            db.executemany(f"DELETE FROM {table} WHERE view = ?", [(view,) for view in views])  # noqa: S608
    for view in views:
        with file.snapshot() as db:
            number = file.number(db, view)
        if number is not None:
            # It keeps its number: readers remember it, and would take another's fields for its.
            for table in _ORDERS:
                _delete(file, table, number)


def _delete(file: SqliteFile, table: str, view: int) -> None:
    """Delete all fields of a view in a table."""
    order = _ORDERS[table]
    last: tuple[bytes | int | str, ...] | None = ()
    while last is not None:
        with file.transaction() as db:
            last = db.execute(
                f"SELECT {order} FROM {table} WHERE view = ? ORDER BY {order} LIMIT 1 OFFSET ?",  # noqa: S608
                (view, _AT_ONCE - 1),
            ).fetchone()
            upto = "" if last is None else f" AND ({order}) <= ({', '.join('?' * len(last))})"
            db.execute(f"DELETE FROM {table} WHERE view = ?{upto}", (view, *(last or ())))  # noqa: S608
