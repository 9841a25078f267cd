"""A training by Lightning in two processes that it starts by itself: what each of them sees.

Called with the folder of a set, one for what is seen, and where the loader is made.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import lightning
import torch
from torch.utils.data import DataLoader

from headrace_shards import Loader
from headrace_shards.torch import ShardDataset

PLACE, OUT, WHEN = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]


def made() -> Any:
    return DataLoader(ShardDataset(Loader(PLACE, batch_size=64, seed=3)), batch_size=None)


class Rows(lightning.LightningDataModule):  # type: ignore[misc] # its environment has the types
    """Batches of a set."""

    def train_dataloader(self) -> Any:
        return made()


class Model(lightning.LightningModule):  # type: ignore[misc] # likewise
    """One layer; writes down which rows it has seen."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = torch.nn.Linear(3, 1)
        self.seen: list[list[int]] = []

    def training_step(self, batch: dict[str, torch.Tensor]) -> torch.Tensor:
        self.seen.append(batch["ids"][:, 0].tolist())
        return torch.nn.functional.mse_loss(self.layer(batch["x"] / 1000)[:, 0], batch["y"])

    def on_train_end(self) -> None:
        (OUT / f"{self.global_rank}.json").write_text(json.dumps(self.seen))

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.01)


before = made() if WHEN == "before" else None
trainer = lightning.Trainer(
    max_epochs=1,
    accelerator="cpu",
    devices=2,
    strategy="ddp",
    logger=False,
    enable_checkpointing=False,
    enable_progress_bar=False,
    enable_model_summary=False,
    default_root_dir=OUT,
)
if before is None:
    trainer.fit(Model(), datamodule=Rows())
else:
    trainer.fit(Model(), train_dataloaders=before)
