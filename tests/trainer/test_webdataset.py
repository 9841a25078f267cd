"""WebDataset reads our tars, sample by sample, in one process and by several workers."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch
import webdataset as wds

from headrace_batch.staging.packing import Packing
from headrace_batch.staging.shard_formats import Format
from headrace_schemas.shard_kinds import Kind
from headrace_shards.layout import Layout, Part
from headrace_shards.manifest import FILE, File, Manifest, Shard
from headrace_shards.staged_set import StagedSet

LAYOUT = Layout(
    (
        Part("ids", "int64", ("row", "event_time")),
        Part("x", "float32", ("a",)),
        Part("codes", "int32", ("country",)),
    ),
    nullable=("a", "country"),
)
FORMAT = Format(Kind.WEBDATASET, {"picture": "npy", "note": "txt"})
SIZES = [40, 25, 60]


def table_from(first: int, count: int) -> pa.Table:
    numbers = range(first, first + count)
    return pa.table(
        {
            "row": pa.array(numbers, pa.int64()),
            "event_time": pa.array(
                [number * 1000 for number in numbers], pa.timestamp("ms", "UTC")
            ),
            "a": [None if number % 3 == 0 else number / 4 for number in numbers],
            "country": [None if number % 5 == 0 else "AT" for number in numbers],
            "picture": [picture(number) for number in numbers],
            "note": [f"note {number} ✓" for number in numbers],
        }
    )


def picture(number: int) -> bytes:
    out = io.BytesIO()
    np.save(out, np.full((2, 3), number, np.uint8))
    return out.getvalue()


def published(folder: Path) -> StagedSet:
    (folder / "train").mkdir(parents=True)
    packing = Packing(LAYOUT, {"country": ("AT",)})
    shards, first = [], 0
    for number, size in enumerate(SIZES):
        table = table_from(first, size)
        content = FORMAT.encoded(packing, table, np.arange(size), packing.rows(table))
        file = File.holding(f"shard.{number:05}.tar", content)
        (folder / "train" / file.name).write_bytes(content)
        shards.append(Shard(size, file))
        first += size
    manifest = Manifest("set", LAYOUT, {"train": tuple(shards)}, kind=Kind.WEBDATASET)
    (folder / FILE).write_bytes(manifest.encoded())
    return StagedSet.open(str(folder))


def require_sample(sample: dict[str, Any]) -> int:
    number = int(sample["__key__"])
    assert sample["json"] == {
        "row": number,
        "event_time": number * 1000,
        "a": None if number % 3 == 0 else number / 4,
        "country": None if number % 5 == 0 else "AT",
    }
    assert np.array_equal(sample["npy"], np.full((2, 3), number, np.uint8))
    assert sample["txt"] == f"note {number} ✓"
    return number


def test_each_sample_comes_once_in_the_order_of_the_tars(tmp_path: Path) -> None:
    files = published(tmp_path / "set").files("train")
    dataset = wds.WebDataset(files, shardshuffle=False).decode()
    assert [require_sample(sample) for sample in dataset] == list(range(sum(SIZES)))


def test_workers_of_a_data_loader_share_the_tars(tmp_path: Path) -> None:
    files = published(tmp_path / "set").files("train")
    dataset = wds.WebDataset(files, shardshuffle=False).decode()
    loader = torch.utils.data.DataLoader(dataset, batch_size=None, num_workers=2)
    assert sorted(require_sample(sample) for sample in loader) == list(range(sum(SIZES)))
