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


def save(place: Path, state: dict[str, object]) -> None:
    """Write a checkpoint, which takes the place of the former one as a whole."""
    unfinished = place.with_name(f"{place.name}.new")
    torch.save(state, unfinished)
    unfinished.replace(place)


def main() -> None:
    """Train."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("set", help="what headrace stage has published")
    parser.add_argument("--checkpoint", type=Path, required=True, help="a file")
    parser.add_argument("--every", type=int, default=10, help="steps between two checkpoints")
    parser.add_argument("--epochs", type=int, default=1)
    parser.add_argument("--batch-size", type=int, default=1_024, help="of all processes together")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    options = parser.parse_args()

    device = joined(torch.device(options.device))
    is_first = not distributed.is_initialized() or distributed.get_rank() == 0
    torch.manual_seed(options.seed)
    held = None
    if options.checkpoint.exists():
        held = torch.load(options.checkpoint, map_location=device, weights_only=True)
    # Another set may have been published by now: it goes on with the one that it began with.
    (began,) = held["loader"]["digests"] if held else (None,)
    digest = agreed(StagedSet.open(options.set, digest=began).manifest.digest)
    found = StagedSet.open(options.set, digest=digest)
    loader = Loader(options.set, batch_size=options.batch_size, seed=options.seed, digest=digest)
    batches = ShardDataset(loader, device)
    inputs = loader.columns["x"]
    model = FraudModel(*normalisation(found, inputs)).to(device)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    # What is never null has the last bit of the mask, which is nobody's.
    nullable, last = loader.layout.nullable, 8 * loader.layout.part("mask").size - 1
    bits, label_bit = (
        torch.tensor(
            [nullable.index(name) if name in nullable else last for name in names],
            device=device,
        )
        for names in (inputs, loader.columns["y"])
    )
    step = 0
    if held:
        model.load_state_dict(held["model"])
        optimizer.load_state_dict(held["optimizer"])
        batches.load_state_dict(held["loader"])
        step = held["step"]
    while loader.epoch < options.epochs:
        for batch in batches:
            odds = model(batch["x"], nulls(batch["mask"], bits))
            loss = loss_of(odds, batch["y"], nulls(batch["mask"], label_bit)[:, 0])
            optimizer.zero_grad()
            loss.backward()
            for weights in model.parameters():
                if weights.grad is not None:
                    added_up(weights.grad)
            optimizer.step()
            step += 1
            whole = added_up(loss.detach()).item()
            if not is_first:
                continue
            sys.stdout.write(json.dumps({"step": step, "loss": whole}) + "\n")
            sys.stdout.flush()
            if step % options.every == 0:
                save(
                    options.checkpoint,
                    {
                        "model": model.state_dict(),
                        "optimizer": optimizer.state_dict(),
                        "loader": batches.state_dict(),
                        "step": step,
                    },
                )
    if distributed.is_initialized():
        distributed.destroy_process_group()


if __name__ == "__main__":
    main()
