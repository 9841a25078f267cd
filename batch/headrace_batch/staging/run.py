"""A training set is staged: features as of each row of a spine, split, in shards, published."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from time import perf_counter
from typing import TYPE_CHECKING

import pyarrow as pa

from headrace_batch.history_assembly import require_columns
from headrace_batch.history_scratch import Scratch, scratch
from headrace_batch.staging.numbering import numbered
from headrace_batch.staging.places import name_of
from headrace_batch.staging.publication import (
    is_whole,
    publish,
    published,
    require_free,
    require_writable,
    settle,
)
from headrace_batch.staging.set_rows import rows_of_file
from headrace_batch.staging.sharding import MadeOf, sharded
from headrace_batch.staging.spine import UNLABELLED, Label, Spine
from headrace_batch.staging.splits import in_order
from headrace_batch.staging.target import Target
from headrace_batch.staging.told import events_told, shards_outcome, shards_work, spine_told
from headrace_batch.table_lease import held
from headrace_batch.warehouse import Warehouse
from headrace_features.definitions.on_demand import AnySelection, sources_of
from headrace_features.engines import load_engine
from headrace_features.lineage.recording import recorded
from headrace_schemas.tables import staged_table

if TYPE_CHECKING:
    from headrace_batch.staging.request import StageRequest
    from headrace_features.project import Project
    from headrace_schemas.settings import Settings
    from headrace_shards.manifest import Manifest

#: Files that are no longer needed once the set is published.
SPINE, SET = "spine.parquet", "set.parquet"
#: Of a table that has no rows: its log has the lease of who publishes.
_LEASED = pa.schema([("set_id", pa.string())])


@dataclass(frozen=True, slots=True)
class StageReport:
    """A set that is published.

    Attributes:
        set_id: names it.
        out: where it is.
        rows: by split.
        rows_left_out: by reason how many rows of the spine, or events, are in none.
        shards: how many.
        size: bytes of these.
        columns: by part.
        was_there: nothing was done, as it was published before.
        seconds: that it took.
    """

    set_id: str
    out: str
    rows: Mapping[str, int]
    rows_left_out: Mapping[str, int]
    shards: int
    size: int
    columns: Mapping[str, tuple[str, ...]]
    was_there: bool
    seconds: float


def stage(
    settings: Settings,
    project: Project,
    request: StageRequest,
    engine: str,
    tell: Callable[[str], None],
) -> StageReport:
    """Stage a set. Killed anywhere, the next call goes on, and readers have the former one.

    Args:
        settings: where tables are.
        project: whose gates there are.
        request: the set.
        engine: local or spark: who computes, and writes the shards.
        tell: takes what is being done.

    Raises:
        GateError: the spine has a leak, or rows have no label.
        ConfigurationError: the spine, a table or a column is missing or wrong.
        RetryableError: another process publishes a set there, or a store is away.
    """
    began = perf_counter()
    warehouse = Warehouse.of(settings)
    target = Target(request.out, settings.warehouse.storage_options)
    require_free(target)
    spine = Spine.open(warehouse, request.spine, settings.warehouse.storage_options)
    request.split.require(spine.rows.schema.names)
    sources = sources_of(request.selections)
    versions = warehouse.versions_now(one.table for one in sources.values())
    set_id = request.set_id(spine.identity, versions)
    told = spine_told(settings, request.spine, spine.identity)
    reads = (told, *events_told(settings, sources.values()))
    work = shards_work(request.name, reads, request.out)
    with publishing(warehouse, request.out) as still_ours:
        former = published(target)
        if former is not None and former.set_id == set_id and is_whole(target, former):
            # One that was killed may have left something to do.
            settle(target, former, still_ours)
            return report_of(former, request.out, perf_counter() - began, was_there=True)
        require_writable(target)
        with recorded(settings, [work]) as runs, scratch(warehouse) as folder:
            tell("features as of each row")
            unlabelled = features_of(
                settings, request.selections, spine, request.label, versions, engine, folder
            )
            tell("shards")
            labelled = (
                {spine.identity["table"]: spine.identity["version"]} if spine.is_table else {}
            )
            made = MadeOf(spine.identity, versions, {UNLABELLED: unlabelled}, labelled)
            found = sharded(settings, project, request, rows_of_file(folder, SET), made, engine)
            manifest = publish(target, found, settings.training.kept, still_ours)
            runs.end(work.job, lambda: shards_outcome(work, manifest))
    return report_of(manifest, request.out, perf_counter() - began, was_there=False)


def features_of(  # noqa: PLR0913, PLR0917 - each of another kind
    settings: Settings,
    selections: Sequence[AnySelection],
    spine: Spine,
    label: Label,
    versions: Mapping[str, int],
    engine: str,
    folder: Scratch,
) -> int:
    """Write the file `SET`: the rows of a spine with their numbers and features.

    Returns:
        How many rows were left out, as they have no label.

    Raises:
        GateError: the spine has a leak, or rows have no label.
        ConfigurationError: a column is missing or wrong.
    """
    # As it was given: numbered, it has a column of ours, of which no error should tell.
    require_columns(selections, spine.rows.schema)
    with folder.filesystem.open_output_stream(folder.path(SPINE)) as out:
        unlabelled = numbered(spine, label, out)
    load_engine(engine, settings).history_file(
        selections, folder.uri(SPINE), folder.uri(SET), versions
    )
    return unlabelled


@contextmanager
def publishing(warehouse: Warehouse, out: str) -> Iterator[Callable[[], object]]:
    """Be the only one who publishes shards at a place; gives what raises an error once one isn't.

    Sets of any name: what one of them takes for left over is another one's.
    """
    table = staged_table(name_of(out))
    warehouse.create(table, _LEASED)
    with held(warehouse, table) as lease:
        yield lease.opened


def report_of(manifest: Manifest, out: str, seconds: float, *, was_there: bool) -> StageReport:
    """What there is to say of a set that is published."""
    shards = [shard for found in manifest.splits.values() for shard in found]
    return StageReport(
        set_id=manifest.set_id,
        out=out,
        rows={name: manifest.rows(name) for name in in_order(manifest.splits)},
        # Sets of older releases left none out.
        rows_left_out=manifest.made_of.get("rows_left_out", {}),
        shards=len(shards),
        size=sum(shard.stored.size for shard in shards),
        columns={part.name: part.columns for part in manifest.layout.parts},
        was_there=was_there,
        seconds=seconds,
    )
