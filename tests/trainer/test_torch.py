"""Batches as tensors of PyTorch: alone, in its DataLoader, and taken apart on a device."""

from __future__ import annotations

from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.distributed.checkpoint as dcp
from torch.utils.data import DataLoader

from headrace_schemas.errors import UnsupportedError
from headrace_shards import Loader
from headrace_shards.lane import Lane
from headrace_shards.torch import ShardDataset
from training_sets import written

SIZES = [50, 77, 30]
DEVICES = ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A set."""
    written(tmp_path / "set", {"train": SIZES})
    return tmp_path / "set"


def test_tensors_are_the_arrays_of_the_loader(place: Path) -> None:
    dataset = ShardDataset(Loader(place, batch_size=20, last="short"))
    arrays = list(Loader(place, batch_size=20, last="short"))
    tensors = list(DataLoader(dataset, batch_size=None))
    assert len(tensors) == len(DataLoader(dataset, batch_size=None)) == len(arrays)
    for found, expected in zip(tensors, arrays, strict=True):
        assert set(found) == set(expected)
        for name, array in expected.items():
            assert torch.equal(found[name], torch.from_numpy(array)), name


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("columns", [None, ["c", "label", "a", "row"]])
def test_rows_are_taken_apart_where_they_are(
    columns: list[str] | None, device: str, place: Path
) -> None:
    expected = list(Loader(place, batch_size=20, last="short", columns=columns))
    lane = Lane(Loader(place, batch_size=20, last="short", columns=columns), torch.device(device))
    found = list(lane.batches())
    assert len(found) == len(expected)
    for tensors, arrays in zip(found, expected, strict=True):
        assert set(tensors) == set(arrays)
        for name, array in arrays.items():
            assert tensors[name].device.type == device
            assert tensors[name].is_contiguous()
            assert np.array_equal(tensors[name].cpu().numpy(), array), name


def test_worker_processes_are_refused(place: Path) -> None:
    dataset = ShardDataset(Loader(place, batch_size=20))
    with pytest.raises(UnsupportedError, match="num_workers=0"):
        next(iter(DataLoader(dataset, batch_size=None, num_workers=1)))


def test_the_state_goes_through_a_distributed_checkpoint(place: Path, tmp_path: Path) -> None:
    first = ShardDataset(Loader(place, batch_size=20))
    batches = [batch["ids"].tolist() for batch in first]
    first.loader.set_epoch(0)
    list(islice(first, 3))
    dcp.save({"loader": first.state_dict(), "weight": torch.ones(3)}, checkpoint_id=tmp_path / "c")
    second = ShardDataset(Loader(place, batch_size=20))
    held = {"loader": second.state_dict(), "weight": torch.zeros(3)}
    dcp.load(held, checkpoint_id=tmp_path / "c")
    second.load_state_dict(held["loader"])
    assert [batch["ids"].tolist() for batch in second] == batches[3:]
