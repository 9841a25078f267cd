"""Trains a small fraud model from a training set, and goes on where it was killed.

    .trainer-venv/bin/python batch/examples/train_fraud.py SET --checkpoint model.pt --epochs 3

SET is what `headrace stage --label is_fraud` has published. A training goes on with the set that it
began with, while that is kept. It needs torch and the package headrace_shards: `make trainer-setup`
makes .trainer-venv with both in a checkout; any other environment has them by `pip install torch
'headrace[training]'`. Each step's loss is a line of JSON. One process, or several by torchrun,
which train one model together: each has its part of every batch, and the first one tells the losses
and writes the checkpoints.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import distributed, nn

from headrace_shards import Loader, StagedSet
from headrace_shards.torch import ShardDataset

_HIDDEN = 64


class FraudModel(nn.Module):  # type: ignore[misc] # its environment has the types
    """From the inputs of a row, and which of them are null, the log odds of fraud."""

    mean: torch.Tensor
    scale: torch.Tensor

    def __init__(self, mean: torch.Tensor, scale: torch.Tensor) -> None:
        """Prepare.

        Args:
            mean, scale: of the inputs, by which they are normalised.
        """
        super().__init__()
        self.register_buffer("mean", mean)
        self.register_buffer("scale", scale)
        width = len(mean)
        self.layers = nn.Sequential(nn.Linear(2 * width, _HIDDEN), nn.ReLU(), nn.Linear(_HIDDEN, 1))

    def forward(self, x: torch.Tensor, is_null: torch.Tensor) -> torch.Tensor:
        """The log odds of each row."""
        # Nothing is known of an input that is NaN or infinite, which would be in every weight.
        is_null = is_null | ~torch.isfinite(x)
        normal = torch.where(is_null, 0.0, (x - self.mean) / self.scale)
        odds: torch.Tensor = self.layers(torch.cat([normal, is_null.to(x.dtype)], dim=1))
        return odds[:, 0]


def normalisation(found: StagedSet, columns: tuple[str, ...]) -> tuple[torch.Tensor, torch.Tensor]:
    """Mean and deviation of each input, as the manifest has them of the rows to train with."""
    told = [found.manifest.statistics["train"][name] for name in columns]
    mean = torch.tensor([float(one["mean"] or 0.0) for one in told])
    scale = torch.tensor([float(one["std"] or 0.0) or 1.0 for one in told])
    return mean, scale


def nulls(mask: torch.Tensor, bits: torch.Tensor) -> torch.Tensor:
    """Which inputs of each row are null, by their bits of the mask."""
    return (mask[:, bits >> 3] >> (bits & 7)) & 1 == 1


def loss_of(odds: torch.Tensor, label: torch.Tensor, is_null: torch.Tensor) -> torch.Tensor:
    """The mean loss of the rows that have a label; others, of `--unlabelled keep`, count nothing.

    It is the part of it that the rows of this process make up, of the mean over those of all.

    Args:
        odds: what the model says of each row.
        label: of each, 0 where there is none.
        is_null: where that is.
    """
    known = torch.isfinite(label) & ~is_null
    losses = nn.functional.binary_cross_entropy_with_logits(
        odds, torch.where(known, label, 0.0), known.to(odds.dtype), reduction="sum"
    )
    found: torch.Tensor = losses / added_up(known.sum()).clamp(min=1)
    return found


def added_up(part: torch.Tensor) -> torch.Tensor:
    """The sum of what all processes have, in its place."""
    if distributed.is_initialized():
        distributed.all_reduce(part)
    return part


def joined(device: torch.device) -> torch.device:
    """Meet the processes that torchrun has started, if it has; the device of this one."""
    if "RANK" not in os.environ:
        return device
    distributed.init_process_group("nccl" if device.type == "cuda" else "gloo")
    if device.type != "cuda":
        return device
    own = torch.device("cuda", int(os.environ["LOCAL_RANK"]))
    torch.cuda.set_device(own)
    return own


def agreed(digest: str) -> str:
    """What the first process says: another set may be published while they start."""
    told = [digest]
    if distributed.is_initialized():
        distributed.broadcast_object_list(told)
    return told[0]


def options() -> argparse.Namespace:
    """What it was called with."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("set", help="what headrace stage has published")
    parser.add_argument("--checkpoint", type=Path, required=True, help="a file")
    parser.add_argument("--every", type=int, default=10, help="steps between two checkpoints")
    parser.add_argument("--epochs", type=int, default=1)
    parser.add_argument("--batch-size", type=int, default=1_024, help="of all processes together")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    return parser.parse_args()


def bits_of(loader: Loader, names: Sequence[str], device: torch.device) -> torch.Tensor:
    """Which bit of the mask each column has; what is never null has the last, which is nobody's."""
    nullable, last = loader.layout.nullable, 8 * loader.layout.part("mask").size - 1
    bits = [nullable.index(name) if name in nullable else last for name in names]
    return torch.tensor(bits, device=device)


class Training:
    """A model, what changes it, and the rows that it is trained with."""

    def __init__(self, asked: argparse.Namespace, device: torch.device) -> None:
        """Begin, or go on where a checkpoint is."""
        held = None
        if asked.checkpoint.exists():
            held = torch.load(asked.checkpoint, map_location=device, weights_only=True)
        # Another set may have been published by now: it goes on with the one that it began with.
        (began,) = held["loader"]["digests"] if held else (None,)
        digest = agreed(StagedSet.open(asked.set, digest=began).manifest.digest)
        found = StagedSet.open(asked.set, digest=digest)
        self.loader = Loader(asked.set, batch_size=asked.batch_size, seed=asked.seed, digest=digest)
        self.batches = ShardDataset(self.loader, device)
        inputs, labels = self.loader.columns["x"], self.loader.columns["y"]
        self.bits = bits_of(self.loader, inputs, device)
        self.label_bit = bits_of(self.loader, labels, device)
        self.model = FraudModel(*normalisation(found, inputs)).to(device)
        self.optimizer = torch.optim.Adam(self.model.parameters(), lr=1e-3)
        self.step = 0
        if held:
            self.model.load_state_dict(held["model"])
            self.optimizer.load_state_dict(held["optimizer"])
            self.batches.load_state_dict(held["loader"])
            self.step = held["step"]
        self.saved = self.step

    def learn(self, batch: Mapping[str, torch.Tensor]) -> float:
        """Take a step; its loss, of the rows of all processes."""
        mask = batch["mask"]
        odds = self.model(batch["x"], nulls(mask, self.bits))
        loss = loss_of(odds, batch["y"], nulls(mask, self.label_bit)[:, 0])
        self.optimizer.zero_grad()
        loss.backward()
        for weights in self.model.parameters():
            if weights.grad is not None:
                added_up(weights.grad)
        self.optimizer.step()
        self.step += 1
        return float(added_up(loss.detach()).item())

    def save(self, place: Path) -> None:
        """Write a checkpoint, which takes the place of the former one as a whole."""
        state = {
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "loader": self.batches.state_dict(),
            "step": self.step,
        }
        unfinished = place.with_name(f"{place.name}.new")
        torch.save(state, unfinished)
        unfinished.replace(place)
        self.saved = self.step


def main() -> None:
    """Train."""
    asked = options()
    device = joined(torch.device(asked.device))
    is_first = not distributed.is_initialized() or distributed.get_rank() == 0
    torch.manual_seed(asked.seed)
    training = Training(asked, device)
    while training.loader.epoch < asked.epochs:
        for batch in training.batches:
            loss = training.learn(batch)
            if not is_first:
                continue
            sys.stdout.write(json.dumps({"step": training.step, "loss": loss}) + "\n")
            sys.stdout.flush()
            if training.step % asked.every == 0:
                training.save(asked.checkpoint)
    if is_first and training.step > training.saved:
        training.save(asked.checkpoint)
    if distributed.is_initialized():
        distributed.destroy_process_group()


if __name__ == "__main__":
    main()
