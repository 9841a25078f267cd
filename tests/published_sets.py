"""Small sets of numbers that are published one after the other at one place."""

from __future__ import annotations

import io
from pathlib import Path

from headrace_batch.staging.publication import publish
from headrace_batch.staging.target import Target
from headrace_shards import Loader
from headrace_shards.manifest import File, Manifest, Shard
from headrace_shards.mds import write_shard
from training_sets import LAYOUT, rows_from

ROWS = 90


def made(place: Path, number: int, *splits: str, attempt: int = 0) -> Manifest:
    """A set whose shards are there, as an attempt has written them."""
    out = io.BytesIO()
    write_shard(out, LAYOUT, rows_from(number * 1_000, ROWS))
    file = File.holding(f"shard.00000-{attempt:04}{number:04}.mds", out.getvalue())
    for split in splits or ("train",):
        Target(str(place)).write(f"{split}/{file.name}", out.getvalue())
    shards = {split: (Shard(ROWS, file),) for split in splits or ("train",)}
    return Manifest(f"set{number}", LAYOUT, shards, {"country": ("AT", "DE", "FR")})


def publish_at(place: Path, number: int, *splits: str, keep: int = 2) -> Manifest:
    return publish(Target(str(place)), made(place, number, *splits), keep, lambda: None)


def rows_of(loader: Loader) -> list[int]:
    return sorted(row for batch in loader for row in batch["ids"][:, 0].tolist())


def files_of(place: Path) -> list[str]:
    return sorted(str(one.relative_to(place)) for one in place.rglob("*") if one.is_file())
