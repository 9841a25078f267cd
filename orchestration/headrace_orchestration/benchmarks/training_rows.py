"""Rows of training sets for benchmarks: three ids, 60 inputs and a label, staged as any others."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from headrace_batch.history_files import BATCH_ROWS
from headrace_batch.history_spine import EVENT_TIME
from headrace_batch.staging import local_writing
from headrace_batch.staging.columns import ROW, Precision, Roles, layout_of
from headrace_batch.staging.packing import Packing
from headrace_batch.staging.publication import publish, shards_by_split, statistics_of
from headrace_batch.staging.shard_formats import Format
from headrace_batch.staging.shard_writing import ShardTask, shards_for
from headrace_batch.staging.splits import SplitRule
from headrace_batch.staging.survey import survey
from headrace_batch.staging.target import Target
from headrace_shards.manifest import Manifest

IDS = (ROW, "card", EVENT_TIME)
INPUTS = tuple(f"input_{number:02}" for number in range(60))
LABEL = "is_fraud"
_FIRST_MS = 1_700_000_000_000


def write_rows(file: Path, rows: int) -> int:
    """Write rows with features: of the inputs one half counts, the others amounts.

    Returns how many columns they have.
    """
    chance = np.random.default_rng(7)
    with pq.ParquetWriter(file, _SCHEMA) as out:
        for begin in range(0, rows, BATCH_ROWS):
            count = min(BATCH_ROWS, rows - begin)
            numbers = np.arange(begin, begin + count)
            columns = {
                ROW: numbers,
                "card": chance.integers(0, 50_000, count),
                EVENT_TIME: _FIRST_MS + 1_000 * numbers,
                LABEL: (chance.random(count) < 0.01).astype(np.float32),  # noqa: PLR2004 - a share
            }
            for place, name in enumerate(INPUTS):
                values = chance.standard_normal(count, np.float32)
                columns[name] = np.floor(np.abs(8 * values)) if place % 2 else 100 * values
            out.write_table(pa.table([columns[name] for name in _SCHEMA.names], schema=_SCHEMA))
    return len(_SCHEMA)


def publish_rows(file: Path, out: Path, scratch: Path) -> Manifest:
    """What `headrace stage` does in-process with a file of features: it becomes a published set.

    Args:
        file: of `write_rows`.
        out: where the set is published.
        scratch: a folder for what is put aside.
    """
    rule, layout = SplitRule(), layout_of(_SCHEMA, Roles(INPUTS, (LABEL,)), Precision.FLOAT32)
    found = survey(_tables(file), rule, layout, Format())
    task = ShardTask(Target(str(out)), Packing(layout, {}), rule.seed, zstd=False)
    shards = {split: shards_for(task, rows) for split, rows in found.rows.items()}
    tables = ((table, rule.of(table)) for table in _tables(file))
    written = shards_by_split(
        local_writing.write_shards(task, tables, shards, uuid.uuid4().hex[:8], scratch), found.rows
    )
    manifest = Manifest(
        "bench",
        layout,
        {name: tuple(one.shard for one in shards) for name, shards in written.items()},
        statistics=statistics_of(written),
    )
    publish(task.target, manifest, 1, lambda: None)
    return manifest


@contextmanager
def one_core() -> Iterator[None]:
    """This thread, and what it starts, on one core, where that can be said."""
    if not hasattr(os, "sched_setaffinity"):
        yield
        return
    allowed = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {max(allowed)})
    try:
        yield
    finally:
        os.sched_setaffinity(0, allowed)


_SCHEMA = pa.schema(
    [
        *((name, pa.int64()) for name in IDS),
        *((name, pa.float32()) for name in INPUTS),
        (LABEL, pa.float32()),
    ]
)


def _tables(file: Path) -> Iterator[pa.Table]:
    with pq.ParquetFile(file) as found:
        for batch in found.iter_batches(BATCH_ROWS):
            yield pa.Table.from_batches([batch])
