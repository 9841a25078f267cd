"""Small training sets of numbers that tell which row each is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from io import BytesIO
from pathlib import Path

import numpy as np

from headrace_shards.compression import compressed
from headrace_shards.layout import Layout, Part
from headrace_shards.manifest import (
    COMPRESSED,
    FILE,
    INDEX,
    File,
    Manifest,
    Shard,
    index_of,
    kept_file,
)
from headrace_shards.mds import Rows, write_shard

LAYOUT = Layout(
    (
        Part("ids", "int64", ("row", "user")),
        Part("x", "float32", ("a", "b", "c")),
        Part("codes", "int32", ("country",)),
        Part("y", "float32", ("label",), is_scalar=True),
    ),
    nullable=("b", "c"),
)


def rows_from(first: int, count: int) -> Rows:
    """Rows with the numbers from one on; of every third `b` is null."""
    rows = np.zeros(count, LAYOUT.dtype)
    numbers = np.arange(first, first + count)
    rows["ids"] = np.stack([numbers, numbers % 7], axis=1)
    rows["x"] = np.stack([numbers * 0.5, numbers * 2.0, -numbers], axis=1)
    rows["codes"][:, 0] = numbers % 3
    rows["y"] = numbers % 2
    is_null = numbers % 3 == 0
    rows["x"][is_null, 1] = 0
    rows["mask"][is_null, 0] = 1
    return rows


def written(
    folder: Path,
    splits: Mapping[str, Sequence[int]],
    *,
    first: int = 0,
    zstd: bool = False,
    former: Manifest | None = None,
) -> Manifest:
    """Publish a set.

    Args:
        folder: where.
        splits: by name how many rows each shard has.
        first: the number of the first row.
        zstd: whether shards are compressed.
        former: the set that is there so far, and is kept.
    """
    kept = () if former is None else (former.digest, *former.kept)
    if former is not None:
        (folder / kept_file(former.digest)).parent.mkdir(exist_ok=True)
        (folder / kept_file(former.digest)).write_bytes(former.encoded())
    shards: dict[str, tuple[Shard, ...]] = {}
    for name, sizes in splits.items():
        (folder / name).mkdir(parents=True, exist_ok=former is not None)
        found = []
        for number, size in enumerate(sizes):
            raw = f"shard.{number:05}{f'-{len(kept)}' if kept else ''}.mds"
            found.append(_shard(folder / name, raw, rows_from(first, size), zstd=zstd))
            first += size
        shards[name] = tuple(found)
        (folder / name / INDEX).write_bytes(index_of(LAYOUT, shards[name]))
    even = {"count": 1, "nulls": 0, "mean": 1.0, "std": 2.0, "min": 0.0, "max": 2.0}
    manifest = Manifest(
        "set",
        LAYOUT,
        shards,
        {"country": ("AT", "DE", "FR")},
        {name: dict.fromkeys(("a", "b", "c"), even) for name in shards},
        kept=kept,
    )
    (folder / FILE).write_bytes(manifest.encoded())
    return manifest


def _shard(folder: Path, name: str, rows: Rows, *, zstd: bool) -> Shard:
    out = BytesIO()
    write_shard(out, LAYOUT, rows)
    raw = File.holding(name, out.getvalue())
    if not zstd:
        (folder / raw.name).write_bytes(out.getvalue())
        return Shard(len(rows), raw)
    content = compressed(out.getvalue())
    (folder / f"{raw.name}{COMPRESSED}").write_bytes(content)
    return Shard(len(rows), raw, File.holding(f"{raw.name}{COMPRESSED}", content))
