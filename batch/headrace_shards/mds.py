"""Shards in the MDS format, version 2, whose rows all have one size.

A shard is the number of rows, the offset of each row and of the end (all uint32), a configuration
of JSON, and the rows. As they have one size, the rows are one array of numpy; who reads them one by
one finds each by its offset (mosaicml-streaming, `streaming.base.format.mds`).
"""

from __future__ import annotations

import json
import mmap
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, TypeAlias

import numpy as np

from headrace_shards.errors import DamagedShardError

if TYPE_CHECKING:
    from headrace_shards.layout import Layout

Rows: TypeAlias = np.ndarray[Any, np.dtype[np.void]]
#: The rows of a shard begin at a multiple of it: a line of a processor's cache.
_ALIGNED = 64
#: Offsets are uint32.
MOST_BYTES = 2**32 - 1


def columns_of(layout: Layout) -> dict[str, list[Any]]:
    """What both a shard and its index say of the parts of a row."""
    return {
        "column_names": [part.name for part in layout.all_parts],
        "column_encodings": [part.encoding for part in layout.all_parts],
        "column_sizes": [part.size for part in layout.all_parts],
    }


def header(layout: Layout, rows: int) -> bytes:
    """What stands before the rows of a shard.

    Args:
        layout: of a row.
        rows: how many there are.
    """
    begin = rows_begin(layout, rows)
    offsets = begin + np.arange(rows + 1, dtype=np.int64) * layout.dtype.itemsize
    numbers = np.concatenate([[rows], offsets]).astype("<u4").tobytes()
    return numbers + _configuration(layout).ljust(begin - len(numbers))


def rows_begin(layout: Layout, rows: int) -> int:
    """The place of the first row in a shard, in bytes."""
    # All that differs in length from one shard to another is the offsets.
    least = 4 * (rows + 2) + len(_configuration(layout))
    return -(-least // _ALIGNED) * _ALIGNED


def shard_size(layout: Layout, rows: int) -> int:
    """The bytes of a shard."""
    return rows_begin(layout, rows) + rows * layout.dtype.itemsize


def write_shard(file: BinaryIO, layout: Layout, rows: Rows) -> None:
    """Write a shard.

    Args:
        file: to its end.
        layout: of a row.
        rows: one dimension of `layout.dtype`.
    """
    file.write(header(layout, len(rows)))
    file.write(np.ascontiguousarray(rows).view(np.uint8).data)


def open_rows(path: Path, name: str, layout: Layout, rows: int) -> Rows:
    """The rows of a shard, mapped into memory.

    Args:
        path: of the shard, not compressed.
        name: what errors call it: in a cache its file has another one.
        layout: of a row.
        rows: how many it has by the manifest.

    Raises:
        DamagedShardError: it is no shard with so many of these rows.
        FileNotFoundError: there is none.
    """
    with path.open("rb") as file:
        if not path.stat().st_size:
            # Nothing can't be mapped.
            raise DamagedShardError(name, "it is empty")
        return rows_in(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ), name, layout, rows)


def rows_in(content: bytes | mmap.mmap, name: str, layout: Layout, rows: int) -> Rows:
    """The rows of a shard that is in memory, or mapped into it; see `open_rows`."""
    expected, begin = shard_size(layout, rows), rows_begin(layout, rows)
    if len(content) != expected:
        raise DamagedShardError(name, f"{len(content):,} bytes, expected {expected:,}")
    told = np.frombuffer(content, "<u4", count=rows + 2)
    if (int(told[0]), int(told[1]), int(told[-1])) != (rows, begin, expected):
        raise DamagedShardError(name, f"its header is not that of {rows:,} rows")
    return np.frombuffer(content, layout.dtype, count=rows, offset=begin)


def _configuration(layout: Layout) -> bytes:
    told = {
        "version": 2,
        "format": "mds",
        "compression": None,
        "hashes": ["sha256"],
        "size_limit": None,
        **columns_of(layout),
    }
    return json.dumps(told, sort_keys=True).encode()
