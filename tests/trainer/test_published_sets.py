"""What `headrace stage` publishes is what readers that know nothing of Headrace get, row by row."""

from __future__ import annotations

import importlib
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import webdataset as wds

from headrace_shards import StagedSet
from headrace_shards.layout import Layout

# By name: a type checker takes our own folder of that name for it.
streaming: Any = importlib.import_module("streaming")
base: Any = importlib.import_module("streaming.base.util")

_ROOT = Path(__file__).parents[2]
SPLITS = ("train", "valid")
ROWS = 1_500


@pytest.fixture(autouse=True)
def _shared_memory() -> Iterator[None]:
    """Without what its own datasets leave behind."""
    base.clean_stale_shared_memory()
    yield
    base.clean_stale_shared_memory()


@pytest.fixture(scope="module")
def sets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Transactions with their features, published in each format by the command."""
    folder = tmp_path_factory.mktemp("published")

    def headrace(*arguments: object) -> None:
        # That of the main environment: a trainer has none.
        subprocess.run(
            [str(_ROOT / ".venv/bin/headrace"), *map(str, arguments)],
            cwd=folder,
            env={**os.environ, "HEADRACE_HOME": str(folder / "home")},
            check=True,
            capture_output=True,
            text=True,
        )

    headrace("simulate", "--rows", ROWS, "--out", folder / "simulated")
    for source, file in (("transactions", "transactions"), ("transaction_labels", "labels")):
        place = folder / "simulated" / f"{file}.parquet"
        headrace("ingest", "--source", source, "--file", place)
    times = pq.read_table(folder / "simulated/transactions.parquet")["event_time"].to_numpy()
    later = np.quantile(times, 0.8).astype("datetime64[ms]").astype("datetime64[D]")
    what = ("--service", "fraud", "--spine", "bronze.transactions", "--label", "amount_minor")
    line = ("stage", *what, "--valid-from", later, "--seed", 5)
    headrace(*line, "--out", folder / "mds")
    headrace(*line, "--out", folder / "zstd", "--zstd")
    headrace(*line, "--out", folder / "parquet", "--format", "parquet")
    payload = ("--payload", "transaction_id:txt")
    headrace(*line, "--out", folder / "webdataset", "--format", "webdataset", *payload)
    return folder


def rows_of(sets: Path, split: str) -> list[dict[str, Any]]:
    """The rows of a split in the order of its shards, as Parquet has them."""
    files = StagedSet.open(str(sets / "parquet")).files(split)
    found: list[dict[str, Any]] = pq.read_table(files).to_pylist()
    return found


def unpacked(sample: dict[str, Any], layout: Layout, texts: Any) -> dict[str, Any]:
    """The columns of a sample, nulls as None."""
    found: dict[str, Any] = {}
    for name, (part, place) in layout.places.items():
        value = sample[part] if layout.part(part).is_scalar else sample[part][place]
        if layout.nulls(np.asarray(sample["mask"])[None], name)[0]:
            found[name] = None
        else:
            found[name] = texts[name][int(value)] if name in texts else float(value)
    return found


def rounded(row: dict[str, Any], layout: Layout) -> dict[str, Any]:
    """A row in the precision of its parts."""
    found = dict(row)
    for name, (part, _) in layout.places.items():
        if row[name] is not None and not isinstance(row[name], str):
            found[name] = float(np.dtype(layout.part(part).dtype).type(row[name]))
    return found


@pytest.mark.parametrize("split", SPLITS)
@pytest.mark.parametrize("place", ["mds", "zstd"])
def test_mosaicml_reads_the_rows_that_were_published(
    place: str, split: str, sets: Path, tmp_path: Path
) -> None:
    dataset = streaming.StreamingDataset(
        remote=str(sets / place),
        local=str(tmp_path / "local"),
        split=split,
        batch_size=1,
        validate_hash="sha256",
    )
    manifest = StagedSet.open(str(sets / place)).manifest
    expected = rows_of(sets, split)
    assert len(dataset) == len(expected) > 100
    for sample, row in zip(dataset, expected, strict=True):
        found = unpacked(sample, manifest.layout, manifest.dictionaries)
        assert found == rounded(row, manifest.layout)


@pytest.mark.parametrize("split", SPLITS)
def test_webdataset_reads_the_rows_that_were_published(split: str, sets: Path) -> None:
    found = StagedSet.open(str(sets / "webdataset"))
    dataset = wds.WebDataset(found.files(split), shardshuffle=False).decode()
    samples = list(dataset)
    expected = rows_of(sets, split)
    assert len(samples) == len(expected) > 100
    for sample, row in zip(samples, expected, strict=True):
        assert sample["txt"] == row.pop("transaction_id")
        assert sample["json"] == row
        assert int(sample["__key__"]) == row["row"]
