"""A training set is staged: features as of each row of a spine, split, in shards, published."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from time import perf_counter
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq

from headrace_batch.history_files import BATCH_ROWS
from headrace_batch.history_scratch import Scratch, scratch
from headrace_batch.local_spill import workspace_of
from headrace_batch.staging.columns import Roles, layout_of, texts_of
from headrace_batch.staging.origin import software, tables_of, verdicts_of
from headrace_batch.staging.packing import Packing
from headrace_batch.staging.publication import (
    publish,
    published,
    require_free,
    shards_by_split,
    statistics_of,
)
from headrace_batch.staging.shard_writing import ShardTask, WrittenShard, shards_for
from headrace_batch.staging.spine import Spine, numbered
from headrace_batch.staging.survey import survey
from headrace_batch.staging.target import Target
from headrace_batch.table_lease import held
from headrace_batch.warehouse import Warehouse
from headrace_features.definitions.on_demand import OnDemandSelection, read_for
from headrace_features.definitions.views import SEPARATOR
from headrace_features.engines import load_engine
from headrace_schemas.tables import training_table
from headrace_shards.manifest import Manifest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from headrace_batch.staging.request import StageRequest
    from headrace_batch.staging.splits import SplitRule
    from headrace_features.project import Project
    from headrace_schemas.settings import Settings
    from headrace_shards.layout import Layout

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
        shards: how many.
        size: bytes of these.
        columns: by part.
        was_there: nothing was done, as it was published before.
        seconds: that it took.
    """

    set_id: str
    out: str
    rows: Mapping[str, int]
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
        GateError: the spine has a leak.
        ConfigurationError: the spine, a table or a column is missing or wrong.
        RetryableError: another process publishes a set of this name, or a store is away.
    """
    began = perf_counter()
    warehouse = Warehouse.of(settings)
    target = Target(request.out, settings.warehouse.storage_options)
    require_free(target)
    spine = Spine.open(warehouse, request.spine, settings.warehouse.storage_options)
    sources = {one.view.source.name: one.view.source for one in read_for(request.selections)}
    versions = {one.table: warehouse.open(one.table).version() for one in sources.values()}
    set_id = request.set_id(spine.identity, versions)
    former = published(target)
    if former is not None and former.set_id == set_id:
        return _report(former, request.out, perf_counter() - began, was_there=True)
    warehouse.create(training_table(request.name), _LEASED)
    with held(warehouse, training_table(request.name)) as lease, scratch(warehouse) as folder:
        tell("features as of each row")
        with folder.filesystem.open_output_stream(folder.path(SPINE)) as out:
            numbered(spine, request.label, out)
        load_engine(engine, settings).history_file(
            request.selections, folder.uri(SPINE), folder.uri(SET), versions
        )
        tell("shards")
        layout = _layout(request, folder)
        payloads = request.format.payloads
        found = survey(_tables(folder), request.split, texts_of(layout), payloads)
        task = ShardTask(
            target,
            Packing(layout, found.dictionaries),
            request.split.seed,
            request.zstd,
            request.format,
        )
        shards = {
            split: shards_for(task, rows, found.payloads.get(split, 0))
            for split, rows in found.rows.items()
        }
        write = _on_spark if engine == "spark" else _here
        written = shards_by_split(write(settings, folder, task, request.split, shards), found.rows)
        manifest = Manifest(
            set_id,
            layout,
            {name: tuple(one.shard for one in shards) for name, shards in written.items()},
            found.dictionaries,
            statistics_of(written),
            {
                **request.described(),
                "spine": {"place": request.spine, **spine.identity},
                "tables": tables_of(warehouse, sources.values(), versions),
                "gates": verdicts_of(
                    warehouse,
                    project,
                    [*sources, *(one.view.name for one in read_for(request.selections))],
                ),
                "engine": engine,
                "software": software(),
            },
            request.format.kind,
        )
        tell("publish")
        publish(target, manifest, lease.opened)
    return _report(manifest, request.out, perf_counter() - began, was_there=False)


def _layout(request: StageRequest, folder: Scratch) -> Layout:
    """Of a row, by the columns that the set has, and what they are for."""
    with pq.ParquetFile(folder.path(SET), filesystem=folder.filesystem) as file:
        schema = file.schema_arrow
    features = {
        f"{one.view.name}{SEPARATOR}{name}" for one in request.selections for name in one.names
    }
    brought = {
        name
        for one in request.selections
        if isinstance(one, OnDemandSelection)
        for name in one.view.request_types
    }
    roles = Roles(
        features | brought, request.label.columns, request.format.payloads, request.left_out
    )
    return layout_of(schema, roles, request.precision)


def _tables(folder: Scratch) -> Iterator[pa.Table]:
    with pq.ParquetFile(folder.path(SET), filesystem=folder.filesystem) as file:
        for batch in file.iter_batches(BATCH_ROWS):
            yield pa.Table.from_batches([batch])


def _on_spark(
    settings: Settings,
    folder: Scratch,
    task: ShardTask,
    rule: SplitRule,
    shards: Mapping[int, int],
) -> Iterable[WrittenShard]:
    from headrace_batch.spark_session import spark_session
    from headrace_batch.staging import spark_writing

    frame = spark_session(settings).read.parquet(folder.uri(SET))
    return spark_writing.write_shards(frame, task, rule, shards)


def _here(
    settings: Settings,
    folder: Scratch,
    task: ShardTask,
    rule: SplitRule,
    shards: Mapping[int, int],
) -> Iterable[WrittenShard]:
    from headrace_batch.staging import local_writing

    tables = ((table, rule.of(table)) for table in _tables(folder))
    aside = workspace_of(settings.home).folder
    aside.mkdir(parents=True, exist_ok=True)
    return local_writing.write_shards(task, tables, shards, uuid.uuid4().hex[:8], aside)


def _report(manifest: Manifest, out: str, seconds: float, *, was_there: bool) -> StageReport:
    shards = [shard for found in manifest.splits.values() for shard in found]
    return StageReport(
        set_id=manifest.set_id,
        out=out,
        rows={name: manifest.rows(name) for name in manifest.splits},
        shards=len(shards),
        size=sum(shard.stored.size for shard in shards),
        columns={part.name: part.columns for part in manifest.layout.parts},
        was_there=was_there,
        seconds=seconds,
    )
