"""One shard is written, by one attempt of one task: nothing else has its name."""

from __future__ import annotations

import io
from dataclasses import astuple, dataclass
from typing import TYPE_CHECKING

import msgspec
import numpy as np
import pyarrow as pa

from headrace_batch.staging.columns import ROW
from headrace_batch.staging.splits import SPLITS, places
from headrace_batch.staging.statistics import Moments, moments_of
from headrace_shards.compression import compressed
from headrace_shards.manifest import COMPRESSED, File, Shard
from headrace_shards.mds import shard_size, write_shard

if TYPE_CHECKING:
    from collections.abc import Mapping

    from headrace_batch.staging.packing import Packing
    from headrace_batch.staging.target import Target
    from headrace_shards.mds import Rows

#: What a shard should have, before it is compressed.
SHARD_BYTES = 1 << 26


@dataclass(frozen=True)
class ShardTask:
    """What is the same for all shards of a set; workers of Spark have one as well.

    Attributes:
        target: where they go.
        packing: of their rows.
        seed: of the order of rows.
        zstd: whether they are compressed.
    """

    target: Target
    packing: Packing
    seed: int
    zstd: bool


@dataclass(frozen=True)
class WrittenShard:
    """A shard that an attempt has written.

    Attributes:
        split: its place in `SPLITS`.
        number: in the split.
        shard: as the manifest has it.
        moments: of its columns.
    """

    split: int
    number: int
    shard: Shard
    moments: Mapping[str, Moments]

    def encoded(self) -> bytes:
        """As it goes from a worker to the driver."""
        moments = {name: astuple(one) for name, one in self.moments.items()}
        return msgspec.json.encode([self.split, self.number, self.shard.described(), moments])

    @classmethod
    def decoded(cls, content: bytes) -> WrittenShard:
        """What a worker has told."""
        split, number, shard, moments = msgspec.json.decode(content)
        told = {name: Moments(*one) for name, one in moments.items()}
        return cls(split, number, Shard.of(shard), told)


def rows_of_shard(task: ShardTask, table: pa.Table) -> Rows:
    """The rows of a shard, in the order that their numbers decide."""
    order = np.argsort(places(table.column(ROW).to_numpy(), task.seed), kind="stable")
    return task.packing.rows(table)[order]


def write(task: ShardTask, split: int, number: int, attempt: str, rows: Rows) -> WrittenShard:
    """Write a shard.

    Args:
        task: of the set.
        split: its place in `SPLITS`.
        number: in the split.
        attempt: tells the files of this one from those of any other.
        rows: in their order.

    Raises:
        RetryableError: the store can't be reached, or the disk is full.
    """
    out = io.BytesIO()
    write_shard(out, task.packing.layout, rows)
    content = out.getvalue()
    folder = SPLITS[split]
    raw = File.holding(f"shard.{number:05}-{attempt}.mds", content)
    zipped = None
    if task.zstd:
        content = compressed(content)
        zipped = File.holding(f"{raw.name}{COMPRESSED}", content)
    shard = Shard(len(rows), raw, zipped)
    task.target.write(f"{folder}/{shard.stored.name}", content)
    return WrittenShard(split, number, shard, moments_of(task.packing.layout, rows))


def shards_for(task: ShardTask, rows: int) -> int:
    """Into how many shards some rows are divided."""
    layout = task.packing.layout
    per_shard = max((SHARD_BYTES - shard_size(layout, 0)) // (layout.dtype.itemsize + 4), 1)
    return -(-rows // per_shard)
