"""One shard is written, by one attempt of one task: nothing else has its name."""

from __future__ import annotations

import re
from dataclasses import astuple, dataclass, field
from typing import TYPE_CHECKING

import msgspec
import numpy as np
import pyarrow as pa

from headrace_batch.staging.columns import ROW
from headrace_batch.staging.shard_formats import TAR_MEMBER, Format
from headrace_batch.staging.splits import SPLITS, places
from headrace_batch.staging.statistics import Moments, moments_of
from headrace_schemas.shard_kinds import Kind
from headrace_shards.compression import compressed
from headrace_shards.manifest import COMPRESSED, File, Shard
from headrace_shards.mds import shard_size

if TYPE_CHECKING:
    from collections.abc import Mapping

    from headrace_batch.staging.packing import Packing
    from headrace_batch.staging.target import Target

#: What a shard should have, before it is compressed.
SHARD_BYTES = 1 << 26
#: How shards are named: by their number, the attempt that wrote them, and their format.
SHARD_NAME = re.compile(r"shard\.\d{5,}-[\w-]+\.(mds|mds\.zstd|tar|parquet)")
_SUFFIXES = {Kind.MDS: "mds", Kind.WEBDATASET: "tar", Kind.PARQUET: "parquet"}
#: About what a number takes in JSON, with what stands around it.
_TEXT_BYTES = 16


@dataclass(frozen=True)
class ShardTask:
    """What is the same for all shards of a set; workers of Spark have one as well.

    Attributes:
        target: where they go.
        packing: of their rows.
        seed: of the order of rows.
        zstd: whether they are compressed.
        format: of shards.
    """

    target: Target
    packing: Packing
    seed: int
    zstd: bool = False
    format: Format = field(default_factory=Format)

    @property
    def columns(self) -> list[str]:
        """Those of a set that shards need."""
        return [*self.packing.layout.places, *self.format.payloads]


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


def write(task: ShardTask, split: int, number: int, attempt: str, table: pa.Table) -> WrittenShard:
    """Write a shard.

    Args:
        task: of the set.
        split: its place in `SPLITS`.
        number: in the split.
        attempt: tells the files of this one from those of any other.
        table: its rows in any order, as their numbers decide in which they are written, with the
            columns of the task and perhaps others.

    Raises:
        RetryableError: the store can't be reached, or the disk is full.
    """
    order = np.argsort(places(table.column(ROW).to_numpy(), task.seed), kind="stable")
    rows = task.packing.rows(table)[order]
    content = task.format.encoded(task.packing, table.select(task.columns), order, rows)
    folder = SPLITS[split]
    raw = File.holding(f"shard.{number:05}-{attempt}.{_SUFFIXES[task.format.kind]}", content)
    zipped = None
    if task.zstd:
        content = compressed(content)
        zipped = File.holding(f"{raw.name}{COMPRESSED}", content)
    shard = Shard(len(rows), raw, zipped)
    task.target.write(f"{folder}/{shard.stored.name}", content)
    return WrittenShard(split, number, shard, moments_of(task.packing.layout, rows))


def shards_for(task: ShardTask, rows: int, payload_bytes: int = 0) -> int:
    """Into how many shards some rows are divided, with payloads of so many bytes in all."""
    layout = task.packing.layout
    if task.format.kind is Kind.WEBDATASET:
        members = TAR_MEMBER * (1 + len(task.format.payloads))
        # Numbers are texts there, each with the name of its column.
        columns = sum(len(name) + _TEXT_BYTES for name in layout.places)
        return -(-(rows * (members + columns) + payload_bytes) // SHARD_BYTES)
    per_shard = max((SHARD_BYTES - shard_size(layout, 0)) // (layout.dtype.itemsize + 4), 1)
    return -(-rows // per_shard)
