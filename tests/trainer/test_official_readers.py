"""Readers that know nothing of Headrace read its shards."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from training_sets import LAYOUT, rows_from, written

# By name: a type checker takes our own folder of that name for it.
streaming: Any = importlib.import_module("streaming")
base: Any = importlib.import_module("streaming.base.util")

SIZES = [50, 77, 30]


@pytest.fixture(autouse=True)
def _shared_memory() -> Iterator[None]:
    """Without what its own datasets leave behind."""
    base.clean_stale_shared_memory()
    yield
    base.clean_stale_shared_memory()


def require_rows(dataset: Any) -> None:
    expected = rows_from(0, sum(SIZES))
    assert len(dataset) == len(expected)
    for row, sample in enumerate(dataset):
        assert set(sample) == {part.name for part in LAYOUT.all_parts}
        for part in LAYOUT.all_parts:
            assert np.array_equal(sample[part.name], expected[part.name][row]), (row, part.name)


def test_mosaicml_reads_the_rows_one_by_one(tmp_path: Path) -> None:
    written(tmp_path / "set", {"train": SIZES})
    require_rows(streaming.LocalDataset(str(tmp_path / "set/train")))


@pytest.mark.parametrize("zstd", [False, True])
def test_mosaicml_streams_them_and_checks_their_hashes(
    zstd: bool,  # noqa: FBT001 - a case
    tmp_path: Path,
) -> None:
    written(tmp_path / "set", {"train": SIZES}, zstd=zstd)
    dataset = streaming.StreamingDataset(
        remote=str(tmp_path / "set"),
        local=str(tmp_path / "local"),
        split="train",
        batch_size=1,
        validate_hash="sha256",
    )
    require_rows(dataset)
