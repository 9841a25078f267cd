"""A declared training set as of a day: its spine, then features in a table, then shards."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from time import perf_counter, time_ns
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
from deltalake import Transaction

from headrace_batch.days import begins_ms
from headrace_batch.history_scratch import scratch
from headrace_batch.history_spine import EVENT_TIME
from headrace_batch.quality.standing_gates import before_layer
from headrace_batch.quality.verdicts import newest_day, require_day
from headrace_batch.staging.places import place_of
from headrace_batch.staging.publication import is_whole, publish, published, require_free, settle
from headrace_batch.staging.request import StageRequest
from headrace_batch.staging.run import SET, StageReport, features_of, publishing, report_of
from headrace_batch.staging.set_rows import SetRows, rows_of_file, rows_of_table
from headrace_batch.staging.shard_formats import Format
from headrace_batch.staging.sharding import MadeOf, sharded
from headrace_batch.staging.spine import Label, Spine
from headrace_batch.staging.splits import SplitRule
from headrace_batch.staging.target import Target
from headrace_batch.staging.told import (
    rows_outcome,
    set_told,
    set_work,
    shards_outcome,
    shards_work,
)
from headrace_batch.staging.verifying import verify_shards
from headrace_batch.staging.whole_tables import (
    left_out_of,
    made_of,
    replace_table,
    require_of_day,
    told_left_out,
    told_made_of,
)
from headrace_batch.warehouse import Warehouse
from headrace_features.definitions.durations import DAY_MS
from headrace_features.definitions.on_demand import read_for, sources_of
from headrace_features.definitions.training_sets import LABEL_KNOWN_AT
from headrace_features.lineage.recording import recorded
from headrace_schemas.errors import ConfigurationError, GateError
from headrace_schemas.shard_kinds import Kind
from headrace_schemas.tables import EVENT_DATE, spine_table, training_table

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import date

    from deltalake import DeltaTable

    from headrace_features.definitions.training_sets import TrainingSet
    from headrace_features.project import Project
    from headrace_schemas.settings import Settings
    from headrace_shards.manifest import Manifest

#: Of the table of a set: what its features mean, as a number.
_MEANING = "headrace.training:meaning"
#: How many rows are computed anew before shards are published.
_SAMPLE = 1_000


@dataclass(frozen=True, slots=True)
class SetReport:
    """The rows of a set that have their features.

    Attributes:
        table: its name.
        rows: how many.
        seconds: that it took.
    """

    table: str
    rows: int
    seconds: float


def write_set(settings: Settings, declared: TrainingSet, day: date, engine: str) -> SetReport:
    """Give the rows of the spine of a day their features, in place of the set of another day.

    Raises:
        ConfigurationError: the spine is of another day, or a table is missing.
        GateError: features of a row are of a later time than its label, or a day of events or
            features that the set is made of doesn't pass.
        RetryableError: another process writes the set, or a store is away.
    """
    began = perf_counter()
    warehouse = Warehouse.of(settings)
    spine_name, name = spine_table(declared.name), training_table(declared.name)
    found = warehouse.open(spine_name)
    require_of_day(found, spine_name, day, f"headrace training spine {declared.name}")
    sources = sources_of(declared.service.asked).values()
    versions = warehouse.versions_now(one.table for one in sources)
    for read in read_for(declared.service.asked):
        before_layer(settings, read.view, None, versions).require(declared.days_at(day)[1])
    pinned = replace(warehouse, versions={spine_name: found.version()})
    spine = Spine.open(pinned, spine_name, settings.warehouse.storage_options)
    work = set_work(settings, declared)
    with recorded(settings, [work]) as runs, scratch(warehouse) as folder:
        label = Label(tuple(declared.label), LABEL_KNOWN_AT)
        features_of(settings, declared.service.asked, spine, label, versions, engine, folder)
        rows = rows_of_file(folder, SET)
        schema = rows.schema.append(pa.field(EVENT_DATE, pa.date32())).remove_metadata()
        told = {**versions, spine_name: found.version()}
        made = told_made_of(told)
        made.append(Transaction(_MEANING, _meaning(settings, declared, day)))
        made += told_left_out(left_out_of(found))
        count = replace_table(settings, name, day, schema, _with_days(rows), made)
        known = {warehouse.uri(table): number for table, number in told.items()}
        runs.end(work.job, lambda: rows_outcome(work, count, known))
    return SetReport(name, count, perf_counter() - began)


def stage_set(  # noqa: PLR0913, PLR0917 - each of another kind
    settings: Settings,
    project: Project,
    declared: TrainingSet,
    day: date,
    engine: str,
    tell: Callable[[str], None],
    *,
    over_newer: bool = False,
) -> StageReport:
    """Publish the shards of a set that has its features, unless its newest day fails its gate.

    They are verified before: nobody gets a set that isn't what it should be.

    Args:
        settings: where tables are.
        project: whose gates there are.
        declared: the set.
        day: which it is of.
        engine: who writes: local or spark.
        tell: takes what is being done.
        over_newer: whether it may take the place of the set of a later day.

    Raises:
        GateError: it does, or the shards are wrong.
        ConfigurationError: the set is of another day, or is missing, or that of a later day is
            published.
        RetryableError: another process publishes it, or a store is away.
    """
    began = perf_counter()
    warehouse = Warehouse.of(settings)
    name = training_table(declared.name)
    table = warehouse.open(name)
    require_of_day(table, name, day, f"headrace training features {declared.name}")
    request = request_for(settings, declared, day)
    target = Target(request.out, settings.warehouse.storage_options)
    require_free(target)
    gate = project.gates.get(declared.name)
    if gate is not None:
        tell("gate")
        # Of what is staged, whatever takes its place meanwhile.
        version = table.version()
        newest = newest_day(settings, gate, version)
        require_day(settings, gate, newest, time_ns() // 1_000_000, version)
    made = _made_of(settings, declared, day, table)
    work = shards_work(declared.name, (set_told(settings, declared),), request.out)
    with publishing(warehouse, request.out) as still_ours:
        former = published(target)
        set_id = request.set_id(made.spine, made.versions)
        if former is not None and former.set_id == set_id and is_whole(target, former):
            # One that was killed may have left something to do.
            settle(target, former, still_ours)
            return report_of(former, request.out, perf_counter() - began, was_there=True)
        if not over_newer:
            _require_not_older(declared, day, former)
        tell("shards")
        with recorded(settings, [work]) as runs:
            rows = rows_of_table(warehouse, name, table)
            found = sharded(settings, project, request, rows, made, engine)
            tell("verification")
            _require_right(settings, project, declared, target, found)
            manifest = publish(target, found, settings.training.kept, still_ours)
            runs.end(work.job, lambda: shards_outcome(work, manifest))
    return report_of(manifest, request.out, perf_counter() - began, was_there=False)


def request_for(settings: Settings, declared: TrainingSet, day: date) -> StageRequest:
    """What the shards of a declared set are to be like, as of a day."""
    after_ms = begins_ms(declared.days_at(day)[1]) + DAY_MS
    test_from = after_ms - declared.test_days * DAY_MS
    valid_from = test_from - declared.valid_days * DAY_MS
    entity = None if declared.entity is None else declared.entity.join_key
    key = declared.events.dedup_key
    return StageRequest(
        name=declared.name,
        selections=declared.service.asked,
        spine=spine_table(declared.name),
        out=place_of(settings, declared.name),
        label=Label(tuple(declared.label), LABEL_KNOWN_AT),
        split=SplitRule(
            valid_from if declared.valid_days else None,
            test_from if declared.test_days else None,
            declared.hold_out,
            entity,
            declared.seed,
        ),
        format=Format(Kind(declared.format)),
        left_out=(LABEL_KNOWN_AT, *(() if key in declared.columns else (key,))),
    )


def _made_of(settings: Settings, declared: TrainingSet, day: date, table: DeltaTable) -> MadeOf:
    """What the table of a set says that it was made of."""
    warehouse = Warehouse.of(settings)
    spine_name = spine_table(declared.name)
    tables = {one.table for one in sources_of(declared.service.asked).values()}
    found = made_of(table, sorted({*tables, spine_name}))
    meaning = _meaning(settings, declared, day)
    if len(found) <= len(tables) or table.transaction_version(_MEANING) != meaning:
        raise ConfigurationError(
            f"{training_table(declared.name)} was made for other features than are declared",
            hint=f"make it anew: headrace training features {declared.name}",
        )
    pinned = replace(warehouse, versions={spine_name: found.pop(spine_name)})
    spine = Spine.open(pinned, spine_name, settings.warehouse.storage_options)
    labelled = made_of(pinned.open(spine_name), {declared.events.table, declared.labelling.table})
    return MadeOf(spine.identity, found, left_out_of(table), labelled, [declared.name], day)


def _require_not_older(declared: TrainingSet, day: date, former: Manifest | None) -> None:
    """See that no set of a later day is published."""
    newer = None if former is None else former.made_of.get("day")
    if newer is not None and newer > day.isoformat():
        raise ConfigurationError(
            f"the shards of {declared.name} that are published are of {newer}, and these are of"
            f" {day}",
            hint="to publish the older ones all the same: headrace training shards"
            f" {declared.name} --date {day} --over-newer",
        )


def _require_right(
    settings: Settings, project: Project, declared: TrainingSet, target: Target, found: Manifest
) -> None:
    """See that shards are what was written, and a sample of their rows what history says."""
    problems = verify_shards(settings, project, target, found, _SAMPLE).problems
    if problems:
        further = f", and {len(problems) - 1} more" if len(problems) > 1 else ""
        raise GateError(
            f"the shards of {declared.name} are not what they should be: {problems[0]}{further}",
            hint="nothing was published: make it anew, from headrace training features"
            f" {declared.name} on",
        )


def _meaning(settings: Settings, declared: TrainingSet, day: date) -> int:
    """A number that other features, or features that mean something else, don't have."""
    told = request_for(settings, declared, day).described()
    content = json.dumps([told["features"], told["views"]], sort_keys=True).encode()
    return int.from_bytes(hashlib.sha256(content).digest()[:7])


def _with_days(rows: SetRows) -> Iterator[pa.RecordBatch]:
    """The rows with the day of each, by which their table is divided."""
    for table in rows.read():
        days = np.floor_divide(table[EVENT_TIME].to_numpy(), DAY_MS).astype("datetime64[D]")
        yield from table.append_column(EVENT_DATE, pa.array(days, pa.date32())).to_batches()
