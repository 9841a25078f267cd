"""What the steps of training sets tell of themselves: see `headrace_batch.lineage`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from headrace_batch.warehouse import Warehouse
from headrace_features.definitions.on_demand import sources_of
from headrace_features.lineage.places import file_place
from headrace_features.lineage.told import Outcome, Told, Work, told_of_source
from headrace_schemas.tables import spine_table, training_table

if TYPE_CHECKING:
    from headrace_features.definitions.sources import EventSource
    from headrace_features.definitions.training_sets import TrainingSet
    from headrace_schemas.settings import Settings
    from headrace_shards.manifest import Manifest

#: What the publication of a set is called, before the name of the set.
STAGE = "stage."


def spine_work(settings: Settings, declared: TrainingSet) -> Work:
    """What it is to find the labelled events of a set."""
    labelled = {one.name: one for one in (declared.events, declared.labelling)}
    written = _table(settings, spine_table(declared.name), declared)
    return Work(
        f"training.spine.{declared.name}", events_told(settings, labelled.values()), (written,)
    )


def set_work(settings: Settings, declared: TrainingSet) -> Work:
    """What it is to give these their features."""
    spine = _table(settings, spine_table(declared.name), declared)
    columns = {name: str(kind) for name, kind in declared.column_types.items()}
    written = replace(set_told(settings, declared), columns=columns)
    return Work(
        f"training.features.{declared.name}",
        (spine, *events_told(settings, sources_of(declared.service.asked).values())),
        (written,),
    )


def shards_work(name: str, reads: tuple[Told, ...], out: str) -> Work:
    """What it is to publish the shards of a set, made of its rows or of a spine and events."""
    return Work(f"{STAGE}{name}", reads, (Told(file_place(out)),))


def set_told(settings: Settings, declared: TrainingSet) -> Told:
    """The rows of a declared set with their features."""
    return _table(settings, training_table(declared.name), declared)


def spine_told(settings: Settings, place: str, identity: Mapping[str, Any]) -> Told:
    """A spine: a file, or a version of a table."""
    table = identity.get("table")
    if table is None:
        return Told(file_place(place), rows=identity["rows"])
    uri = Warehouse.of(settings).uri(table)
    return Told(file_place(uri), version=identity["version"], rows=identity["rows"])


def shards_outcome(work: Work, manifest: Manifest) -> Outcome:
    """What has been published."""
    (out,) = work.writes
    columns = {column: part.dtype for part in manifest.layout.parts for column in part.columns}
    facts: dict[str, str | int] = {
        "set_id": manifest.set_id,
        "digest": manifest.digest,
        "format": manifest.kind.value,
    }
    rows = sum(manifest.rows(split) for split in manifest.splits)
    return Outcome(work.reads, (replace(out, columns=columns, rows=rows, facts=facts),))


def rows_outcome(work: Work, rows: int, versions: Mapping[str, int]) -> Outcome:
    """What a step has written into a table.

    Args:
        work: that it was about to do.
        rows: how many.
        versions: by the URI of a table the one that was read or written.
    """
    known = {file_place(uri): version for uri, version in versions.items()}
    (out,) = work.writes
    reads = tuple(replace(one, version=known.get(one.place)) for one in work.reads)
    return Outcome(reads, (replace(out, rows=rows, version=known.get(out.place)),))


def _table(settings: Settings, name: str, declared: TrainingSet) -> Told:
    place = file_place(Warehouse.of(settings).uri(name))
    return Told(place, description=declared.description, owner=declared.owner)


def events_told(settings: Settings, sources: Iterable[EventSource]) -> tuple[Told, ...]:
    """The tables of events that a set is made of."""
    warehouse = Warehouse.of(settings)
    return tuple(told_of_source(one, file_place(warehouse.uri(one.table))) for one in sources)
