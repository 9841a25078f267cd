"""Lightning trains from a loader, keeps its state in checkpoints, and goes on from there."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import lightning
import torch
from torch.utils.data import DataLoader

from headrace_shards import Loader
from headrace_shards.torch import ShardDataset
from training_sets import written

STEPS = 12


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
