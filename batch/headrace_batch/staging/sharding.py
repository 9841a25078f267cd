"""The rows of a set come into shards, which are not published yet."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from headrace_batch.local_spill import workspace_of
from headrace_batch.staging.columns import Roles, layout_of
from headrace_batch.staging.origin import software, tables_of, verdicts_of
from headrace_batch.staging.packing import Packing
from headrace_batch.staging.publication import shards_by_split, statistics_of
from headrace_batch.staging.shard_writing import ShardTask, WrittenShard, shards_for
from headrace_batch.staging.survey import survey
from headrace_batch.staging.target import Target
from headrace_batch.warehouse import Warehouse
from headrace_features.definitions.on_demand import OnDemandSelection, read_for, sources_of
from headrace_features.definitions.views import SEPARATOR
from headrace_shards.manifest import Manifest

if TYPE_CHECKING:
    from datetime import date

    import pyarrow as pa

    from headrace_batch.staging.request import StageRequest
    from headrace_batch.staging.set_rows import SetRows
    from headrace_features.project import Project
    from headrace_schemas.settings import Settings
    from headrace_shards.layout import Layout


@dataclass(frozen=True, slots=True)
class MadeOf:
    """What the rows of a set were made of.

    Attributes:
        spine: what identifies it.
        versions: by table of events the one that was read.
        left_out: by reason how many rows were left out.
        labelled: likewise by table the version that rows of the spine and labels were read from.
        gated: the names of what gates may have said something of, besides sources and views.
        day: as of whose end they are; None for rows that are of no day.
    """

    spine: Mapping[str, Any]
    versions: Mapping[str, int]
    left_out: Mapping[str, int]
    labelled: Mapping[str, int] = field(default_factory=dict)
    gated: Sequence[str] = ()
    day: date | None = None


def sharded(  # noqa: PLR0913, PLR0917 - each of another kind
    settings: Settings,
    project: Project,
    request: StageRequest,
    rows: SetRows,
    made: MadeOf,
    engine: str,
) -> Manifest:
    """Write the shards of a set; its manifest, which nobody has yet.

    Args:
        settings: where tables are.
        project: whose gates there are.
        request: the set.
        rows: of it.
        made: of what they were.
        engine: who writes: local or spark.

    Raises:
        ConfigurationError: there are no rows, or a column is wrong.
        RetryableError: a store is away.
    """
    warehouse = Warehouse.of(settings)
    layout = _layout(request, rows.schema)
    found = survey(rows.read(), request.split, layout, request.format)
    task = ShardTask(
        Target(request.out, settings.warehouse.storage_options),
        Packing(layout, found.dictionaries),
        request.split.seed,
        request.zstd,
        request.format,
    )
    shards = {
        split: shards_for(task, count, found.payloads.get(split, 0))
        for split, count in found.rows.items()
    }
    written = shards_by_split(_written(settings, request, rows, task, shards, engine), found.rows)
    views = [one.view for one in read_for(request.selections)]
    sources = sources_of(request.selections)
    labelled = [one for one in project.sources.values() if one.table in made.labelled]
    named = [*sources, *(view.name for view in views), *made.gated]
    return Manifest(
        request.set_id(made.spine, made.versions),
        layout,
        {name: tuple(one.shard for one in shards) for name, shards in written.items()},
        found.dictionaries,
        statistics_of(written),
        {
            **request.described(),
            "day": None if made.day is None else made.day.isoformat(),
            "spine": {"place": request.spine, **made.spine},
            "spine_tables": tables_of(warehouse, labelled, made.labelled),
            "rows_left_out": dict(made.left_out),
            "tables": tables_of(warehouse, sources.values(), made.versions),
            "gates": verdicts_of(warehouse, project, dict.fromkeys(named)),
            "engine": engine,
            "software": software(),
        },
        request.format.kind,
    )


def _layout(request: StageRequest, schema: pa.Schema) -> Layout:
    """Of a row, by the columns that the set has, and what they are for."""
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


def _written(  # noqa: PLR0913, PLR0917 - each of another kind
    settings: Settings,
    request: StageRequest,
    rows: SetRows,
    task: ShardTask,
    shards: Mapping[int, int],
    engine: str,
) -> Iterable[WrittenShard]:
    """The shards, by split so many, as they are written by workers of Spark or by this process."""
    if engine == "spark":
        from headrace_batch.spark_session import spark_session
        from headrace_batch.staging import spark_writing

        frame = rows.frame(spark_session(settings))
        return spark_writing.write_shards(frame, task, request.split, shards)
    from headrace_batch.staging import local_writing

    tables = ((table, request.split.of(table)) for table in rows.read())
    aside = workspace_of(settings.home).folder
    aside.mkdir(parents=True, exist_ok=True)
    return local_writing.write_shards(task, tables, shards, uuid.uuid4().hex[:8], aside)
