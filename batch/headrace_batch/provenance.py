"""Of which events a batch layer was made, as the lake itself tells it: no record but its logs.

A generation says which tiles it has, the commit of these which version of the table of events they
were made of, and that version up to which offsets it has taken in its topic, and which files.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from deltalake import DeltaTable
from deltalake.exceptions import DeltaError

from headrace_batch.commits import told_by
from headrace_batch.event_files import identity_of
from headrace_batch.ingest.covered import covered_in
from headrace_batch.tile_intake import Taken
from headrace_batch.tile_table import taken_by
from headrace_batch.warehouse import Warehouse
from headrace_schemas.tables import tiles_table

if TYPE_CHECKING:
    from headrace_features.definitions.sources import EventSource
    from headrace_features.definitions.views import FeatureView
    from headrace_features.online.layers import Generation


@dataclass(frozen=True, slots=True)
class FileTaken:
    """A file whose rows a table of events has.

    Attributes:
        file: its path or URL.
        ingest_id: a hash of its content, and of what it was read as.
        version: of the table, with the newest commit of its rows.
    """

    file: str
    ingest_id: str
    version: int


@dataclass(frozen=True, slots=True)
class EventsMade:
    """One version of the table of a source's events, and what it was made of.

    Attributes:
        table: its name.
        version: as Delta counts.
        first: of its topic, by partition the offset from which on it has everything, but what the
            broker had deleted before it was read; lacks those of which the table doesn't tell.
        before: by partition the offset before which it has everything; empty where it has taken
            in no topic.
        files: those that it has taken in, as far back as its log reaches.
    """

    table: str
    version: int
    first: Mapping[int, int]
    before: Mapping[int, int]
    files: tuple[FileTaken, ...]


@dataclass(frozen=True, slots=True)
class LayerMade:
    """What a generation of a batch layer was made of.

    Attributes:
        tiles: the name of the table of tiles.
        tiles_version: the version that had all that the generation has.
        events: the table of events as it was; None where its log no longer tells.
    """

    tiles: str
    tiles_version: int
    events: EventsMade | None


def layer_made(warehouse: Warehouse, view: FeatureView, generation: Generation) -> LayerMade | None:
    """Of what a generation of a view's batch layer was made; None where the lake can't tell.

    Raises:
        ConfigurationError: a table is damaged.
        RetryableError: the store can't be reached.
    """
    found = _tiles_of(warehouse, view, generation)
    if found is None:
        return None
    version, taken = found
    events = events_made(warehouse, view.source, taken.version, taken.source)
    return LayerMade(tiles_table(view.name, view.version), version, events)


def taken_for(warehouse: Warehouse, view: FeatureView, generation: Generation) -> Taken | None:
    """What the tiles had taken in of which a generation was made; None where the lake can't tell.

    Raises:
        ConfigurationError: a table is damaged.
        RetryableError: the store can't be reached.
    """
    found = _tiles_of(warehouse, view, generation)
    return None if found is None else found[1]


def _tiles_of(
    warehouse: Warehouse, view: FeatureView, generation: Generation
) -> tuple[int, Taken] | None:
    """The version of a view's table of tiles that had all that a generation has."""
    name = tiles_table(view.name, view.version)
    table = warehouse.find(name)
    if table is None:
        return None
    with warehouse.explaining(name):
        for version in range(table.version(), -1, -1):
            if version != table.version() and not _goes_back(table, version):
                return None
            taken = taken_by(table)
            # What was taken in for a later generation, which isn't published yet, isn't in it.
            if taken is not None and taken.generation <= generation.tiles:
                return version, taken
    return None


def events_made(
    warehouse: Warehouse,
    source: EventSource,
    version: int | None = None,
    identity: int | None = None,
) -> EventsMade | None:
    """Of what a version of a source's table was made.

    Args:
        warehouse: where the tables are.
        source: whose table.
        version: which; None is the newest.
        identity: tells the table from another in its place; None is any.

    Returns:
        None where there is no such table, or no such version any more.

    Raises:
        ConfigurationError: the table is damaged.
        RetryableError: the store can't be reached.
    """
    table = warehouse.find(source.table)
    if table is None or (identity is not None and identity_of(table) != identity):
        return None
    with warehouse.explaining(source.table):
        # Of a table as it was the library numbers the commits wrongly.
        commits = table.history()
        if version is not None and version != table.version() and not _goes_back(table, version):
            return None
        covered = covered_in(table, source.topic)
        files = tuple(_files(commits, table.version()))
        return EventsMade(source.table, table.version(), covered.first, covered.offsets, files)


def _goes_back(table: DeltaTable, version: int) -> bool:
    """Make a table what it was; whether its log reaches so far back."""
    try:
        table.load_as_version(version)
    except DeltaError:
        return False
    return True


def _files(commits: Iterable[Mapping[str, Any]], until: int) -> Iterator[FileTaken]:
    """The files that a version of a table has rows of, the newest first."""
    seen = set()
    for commit in commits:
        told = told_by(commit)
        ingest_id = told.get("headrace.ingest_id")
        version = commit.get("version", 0)
        if ingest_id is None or ingest_id in seen or version > until:
            continue
        seen.add(ingest_id)
        yield FileTaken(told.get("headrace.file", ""), ingest_id, version)
