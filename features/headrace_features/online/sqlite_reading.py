"""Reads from SQLite: the layers of a view, and entities' fields, those of many by one statement."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from functools import cache
from typing import Any

from headrace_features.online.layers import Generation, Layers, StreamSpan
from headrace_features.online.sqlite_statements import CURRENT, LAYERS
from headrace_features.online.store import Wanted
from headrace_features.state.read import Found

#: Entities of one statement; each number of them is a statement of its own, which is prepared once.
_AT_ONCE = 64


def layers_in(db: sqlite3.Connection, view: str) -> Layers:
    """The layers of a view, as readers see them."""
    row = db.execute(LAYERS, (view,)).fetchone()
    number, *batch = row[:8]
    span = row[8:]
    return Layers(
        None if number is None else _generation(number, view, *batch),
        None if span[0] is None else StreamSpan(*span),
    )


def current_in(db: sqlite3.Connection, view: str) -> Generation | None:
    """The generation that readers have; None if there is none."""
    row = db.execute(CURRENT, (view,)).fetchone()
    return None if row is None else _generation(row[0], view, *row[1:])


def _generation(number: int, view: str, *rest: Any) -> Generation:
    *numbers, pending = rest
    return Generation(number, view, *[*numbers, bool(pending)])


def fields_of(
    db: sqlite3.Connection, view: int, generation: Generation | None, wanted: Wanted
) -> list[Found]:
    """What there is of entities of a view.

    Args:
        db: a connection inside a transaction.
        view: its short name.
        generation: of the batch layer; None if there is none.
        wanted: the entities, and which fields.
    """
    keys, fields, enough = wanted.entities, wanted.fields, wanted.enough
    stream = _read(db, "stream", (view,), keys)
    if generation is None or (fields is not None and not fields):
        return [Found({}, one) for one in stream]
    where = (view, generation.base)
    if generation.pending:
        batch = _read(db, "batch", where, keys, fields or ())
        differing = _read(db, "differing", (view, generation.id), keys, fields or ())
        both = ({**one, **changed} for one, changed in zip(batch, differing, strict=True))
        return [
            Found({field: content for field, content in one.items() if content}, found)
            for one, found in zip(both, stream, strict=True)
        ]
    if fields is None:
        return list(map(Found, _read(db, "batch", where, keys), stream))
    batch = _read(db, "batch", where, keys, fields[:enough])
    rest = fields[enough:]
    # Most entities have the very first, and none of the others.
    others = [at for at, one in enumerate(batch) if fields[0] not in one] if rest else []
    if others:
        found = _read(db, "batch", where, [keys[at] for at in others], rest)
        for at, one in zip(others, found, strict=True):
            batch[at] |= one
    return list(map(Found, batch, stream))


def batch_of(
    db: sqlite3.Connection, where: tuple[int, int], entity: bytes, fields: Sequence[str] | None
) -> dict[str, bytes]:
    """What an entity has in a generation of a view's batch layer that was built anew.

    Args:
        db: a connection inside a transaction.
        where: the short name of the view, and the generation.
        entity: its key.
        fields: which; None is all.
    """
    if fields is not None and not fields:
        return {}
    return _read(db, "batch", where, [entity], fields or ())[0]


def _read(
    db: sqlite3.Connection,
    table: str,
    where: tuple[int, ...],
    keys: Sequence[bytes],
    fields: Sequence[str] = (),
) -> list[dict[str, bytes]]:
    """The fields of some entities in a table; all that there are, or chosen ones."""
    if len(keys) == 1:
        rows = db.execute(_statement(table, 1, len(fields)), (*keys, *where, *fields))
        return [{field: content for _, field, content in rows}]
    found: list[dict[str, bytes]] = [{} for _ in keys]
    for start in range(0, len(keys), _AT_ONCE):
        some = keys[start : start + _AT_ONCE]
        # Few statements are worth keeping: some keys are none.
        size = 1 << (len(some) - 1).bit_length()
        padded = [*some, *[None] * (size - len(some))]
        statement = _statement(table, size, len(fields))
        for at, field, content in db.execute(statement, (*padded, *where, *fields)):
            found[start + at][field] = content
    return found


@cache
def _statement(table: str, keys: int, fields: int) -> str:
    """A query for the fields of so many entities, in the order of the tables' primary keys."""
    conditions = ["view = ?"]
    if table != "stream":
        conditions.append("generation = ?")
    if fields:
        conditions.append(f"field IN ({', '.join('?' * fields)})")
    chosen = " AND ".join(conditions)
    if keys == 1:
        return f"SELECT 0, field, content FROM {table} WHERE entity = ? AND {chosen}"  # noqa: S608 - nothing of it is given
    rows = ", ".join(f"({at}, ?)" for at in range(keys))
    return (
        f"WITH wanted (place, key) AS (VALUES {rows})"  # noqa: S608
        f" SELECT place, field, content FROM wanted CROSS JOIN {table} ON entity = key AND {chosen}"
    )
