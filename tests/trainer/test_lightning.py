"""Lightning trains from a loader, keeps its state in checkpoints, and goes on from there."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import lightning
import torch
from torch.utils.data import DataLoader

from headrace_shards import Loader
from headrace_shards.torch import ShardDataset
from training_sets import written

STEPS = 12
PROGRAM = Path(__file__).with_name("lightning_ranks.py")


class Rows(lightning.LightningDataModule):  # type: ignore[misc] # its environment has the types
    """Batches of a set; its state is that of the loader."""

    def __init__(self, place: Path) -> None:
        super().__init__()
        self.loader = Loader(place, batch_size=64, seed=3)

    def train_dataloader(self) -> Any:
        return DataLoader(ShardDataset(self.loader, device="cpu"), batch_size=None)

    def state_dict(self) -> dict[str, Any]:
        return self.loader.state_dict()

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.loader.load_state_dict(state_dict)


class Model(lightning.LightningModule):  # type: ignore[misc] # likewise
    """One layer; keeps which rows it has seen."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.layer = torch.nn.Linear(3, 1)
        self.seen: list[list[int]] = []

    def training_step(self, batch: dict[str, torch.Tensor]) -> torch.Tensor:
        self.seen.append(batch["ids"][:, 0].tolist())
        x = batch["x"] / 1000
        return torch.nn.functional.mse_loss(self.layer(x)[:, 0], batch["y"])

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.01)


def fitted(folder: Path, steps: int, checkpoint: Path | None = None) -> tuple[Model, Any]:
    model = Model()
    trainer = lightning.Trainer(
        max_steps=steps,
        accelerator="cpu",
        devices=1,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        default_root_dir=folder,
    )
    trainer.fit(model, datamodule=Rows(folder / "set"), ckpt_path=checkpoint)
    return model, trainer


def test_a_training_that_goes_on_sees_the_rows_that_are_left(tmp_path: Path) -> None:
    written(tmp_path / "set", {"train": [500, 300, 400]})
    whole, _ = fitted(tmp_path, STEPS)
    first, trainer = fitted(tmp_path, 5)
    trainer.save_checkpoint(tmp_path / "five.ckpt")
    second, _ = fitted(tmp_path, STEPS, tmp_path / "five.ckpt")
    assert first.seen + second.seen == whole.seen
    assert torch.equal(second.layer.weight, whole.layer.weight)


def ranks(folder: Path, when: str) -> subprocess.CompletedProcess[str]:
    """A training in two processes that Lightning starts, with a loader that is made some time."""
    (folder / "seen").mkdir()
    return subprocess.run(
        [sys.executable, PROGRAM, folder / "set", folder / "seen", when],
        capture_output=True,
        text=True,
        check=False,
        timeout=180,
    )


def test_processes_that_it_starts_have_each_their_part_of_every_batch(tmp_path: Path) -> None:
    written(tmp_path / "set", {"train": [500, 300, 400]})
    done = ranks(tmp_path, "meanwhile")
    assert done.returncode == 0, done.stderr
    seen = [json.loads((tmp_path / f"seen/{rank}.json").read_text()) for rank in range(2)]
    whole = [
        batch["ids"][:, 0].tolist() for batch in Loader(tmp_path / "set", batch_size=64, seed=3)
    ]
    assert [one + other for one, other in zip(*seen, strict=True)] == whole


def test_a_loader_that_was_made_before_there_were_others_is_refused(tmp_path: Path) -> None:
    written(tmp_path / "set", {"train": [500, 300, 400]})
    done = ranks(tmp_path, "before")
    assert done.returncode != 0
    assert "when torch.distributed has been initialized" in done.stderr
    assert not list((tmp_path / "seen").glob("*.json"))
