"""How fast a loader's rows come to a device, beside what the device can be copied to.

A script for an environment that has torch, and Headrace's shards on its path:

    python device_lane.py sets/fraud --threads 4

It prints a line of JSON; `null` where there is no GPU and no device is named.
"""

from __future__ import annotations

import argparse
import json
import sys
from itertools import pairwise
from time import perf_counter
from typing import Any, TypeAlias

import torch
from torch import nn

from headrace_shards import Loader
from headrace_shards.lane import Lane

_HIDDEN = 64
#: How often a buffer is copied for the ceiling.
_COPIES = 64
#: A moment of a device, or of the processor.
Moment: TypeAlias = "torch.cuda.Event | float"


def moment(device: torch.device) -> Moment:
    """Now, or on a device when it has done what it was given so far."""
    if device.type != "cuda":
        return perf_counter()
    event = torch.cuda.Event(enable_timing=True)
    event.record()
    return event


def between(first: Moment, second: Moment) -> float:
    """The seconds between two moments, once both have come."""
    if isinstance(first, float):
        return float(second - first)
    return float(first.elapsed_time(second)) / 1_000


def wait(device: torch.device) -> None:
    """Wait until a device has done what it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def copy_rate(device: torch.device, size: int) -> float:
    """Bytes a second that a device gets from memory that it copies by itself."""
    source = torch.empty(size, dtype=torch.uint8, pin_memory=device.type == "cuda")
    target = torch.empty(size, dtype=torch.uint8, device=device)
    target.copy_(source)
    wait(device)
    began = perf_counter()
    for _ in range(_COPIES):
        target.copy_(source, non_blocking=True)
    wait(device)
    return _COPIES * size / (perf_counter() - began)


def delivered_rate(loader: Loader, device: torch.device) -> float:
    """Rows a second that come to a device, taken apart, with nobody using them."""
    lane, rows = Lane(loader, device), 0
    began = perf_counter()
    for batch in lane.batches():
        rows += len(batch["y"])
    wait(device)
    return rows / (perf_counter() - began)


def idle_share(loader: Loader, device: torch.device) -> float:
    """Which share of an epoch of training a device waits for rows or takes them apart."""
    width = len(loader.columns["x"])
    model = nn.Sequential(nn.Linear(width, _HIDDEN), nn.ReLU(), nn.Linear(_HIDDEN, 1)).to(device)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    steps: list[tuple[Moment, Moment]] = []
    for batch in Lane(loader, device).batches():
        got = moment(device)
        odds = model(torch.log1p(batch["x"].abs()))[:, 0]
        loss = nn.functional.binary_cross_entropy_with_logits(odds, batch["y"])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        steps.append((got, moment(device)))
    wait(device)
    waited = sum(between(done, got) for (_, done), (got, _) in pairwise(steps))
    return waited / between(steps[0][0], steps[-1][1])


def measured(options: argparse.Namespace, device: torch.device) -> dict[str, Any]:
    """All of it; of the first epoch hashes are checked, which doesn't count."""
    loader = Loader(
        options.set,
        batch_size=options.batch_size,
        threads=options.threads,
        prefetch=2 * options.threads,
    )
    delivered_rate(loader, device)
    rate = delivered_rate(loader, device)
    size = options.batch_size * loader.layout.dtype.itemsize
    ceiling = copy_rate(device, size)
    idle_share(loader, device)
    return {
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else str(device),
        "threads": options.threads,
        "rows_per_s": rate,
        "copy_bytes_per_s": ceiling,
        "share_of_copy": rate * loader.layout.dtype.itemsize / ceiling,
        "idle_share": idle_share(loader, device),
    }


def main() -> None:
    """Measure a training set."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("set", help="what headrace stage has published")
    parser.add_argument("--batch-size", type=int, default=8_192)
    parser.add_argument("--threads", type=int, default=4)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else None)
    options = parser.parse_args()
    device = None if options.device is None else torch.device(options.device)
    sys.stdout.write(json.dumps(None if device is None else measured(options, device)) + "\n")


if __name__ == "__main__":
    main()
