"""The tables of the embedded online store."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from headrace_schemas.errors import ConfigurationError

_SCHEMA_VERSION = 6
_SCHEMA = """
CREATE TABLE IF NOT EXISTS generation (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    view TEXT NOT NULL,
    boundary_ms INTEGER NOT NULL,
    written_ms INTEGER NOT NULL DEFAULT 0,
    whole_ms INTEGER NOT NULL DEFAULT 0,
    known_ms INTEGER,
    tiles INTEGER NOT NULL DEFAULT 0,
    base INTEGER NOT NULL DEFAULT 0,
    pending INTEGER NOT NULL DEFAULT 0,
    holder TEXT NOT NULL DEFAULT '',
    until_ms INTEGER NOT NULL DEFAULT 0,
    state TEXT NOT NULL CHECK (state IN ('building', 'current', 'given up'))
);
CREATE INDEX IF NOT EXISTS generation_of_view ON generation (view, state);
CREATE TABLE IF NOT EXISTS view (id INTEGER PRIMARY KEY, key TEXT NOT NULL UNIQUE);
CREATE TABLE IF NOT EXISTS batch (
    view INTEGER NOT NULL,
    entity BLOB NOT NULL,
    field TEXT NOT NULL,
    generation INTEGER NOT NULL,
    content BLOB NOT NULL,
    PRIMARY KEY (view, entity, field, generation)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS differing (
    view INTEGER NOT NULL,
    generation INTEGER NOT NULL,
    entity BLOB NOT NULL,
    field TEXT NOT NULL,
    content BLOB NOT NULL,
    PRIMARY KEY (view, generation, entity, field)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS stream (
    view INTEGER NOT NULL,
    entity BLOB NOT NULL,
    field TEXT NOT NULL,
    epoch INTEGER NOT NULL,
    sequence INTEGER NOT NULL,
    content BLOB NOT NULL,
    PRIMARY KEY (view, entity, field)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS stream_span (
    view TEXT PRIMARY KEY,
    epoch INTEGER NOT NULL,
    since_ms INTEGER NOT NULL,
    event_time_ms INTEGER NOT NULL,
    written_ms INTEGER NOT NULL,
    current_ms INTEGER NOT NULL DEFAULT 0
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS progress (
    namespace TEXT NOT NULL,
    partition INTEGER NOT NULL,
    next_offset INTEGER NOT NULL,
    current_ms INTEGER NOT NULL,
    PRIMARY KEY (namespace, partition)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS included (
    namespace TEXT PRIMARY KEY,
    views TEXT NOT NULL
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS versions (
    id INTEGER PRIMARY KEY CHECK (id = 0),
    number INTEGER NOT NULL,
    content BLOB NOT NULL
);
INSERT OR IGNORE INTO versions VALUES (0, 0, x'')
"""
#: The tables with what is kept; those of numbers and of versions stay when all is removed.
KEPT = ("batch", "differing", "stream", "generation", "stream_span", "progress", "included")


def lay_out(db: sqlite3.Connection, path: Path) -> None:
    """Make the tables where there are none, in one step: others may open the file meanwhile.

    Raises:
        ConfigurationError: there are those of another release.
    """
    if db.execute("PRAGMA user_version").fetchone()[0] == _SCHEMA_VERSION:
        return
    db.execute("BEGIN IMMEDIATE")
    try:
        (held,) = db.execute("PRAGMA user_version").fetchone()
        (tables,) = db.execute("SELECT count(*) FROM sqlite_schema").fetchone()
        if tables and held != _SCHEMA_VERSION:
            raise ConfigurationError(
                f"the online store {path} has the layout of another release",
                hint="remove it and run: headrace online rebuild",
            )
        for statement in _SCHEMA.split(";"):
            db.execute(statement)
        db.execute(f"PRAGMA user_version = {_SCHEMA_VERSION}")
        db.execute("COMMIT")
    finally:
        # Half a layout would be taken for another release's.
        if db.in_transaction:
            db.execute("ROLLBACK")
