"""The way of batches to a device: gathered into pinned memory, copied aside, taken apart there."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple, TypeAlias

import torch

from headrace_shards.loader import Loader, Span
from headrace_shards.selection import Selection

#: The tensors of a batch, by part.
TensorBatch: TypeAlias = dict[str, torch.Tensor]


class Copied(NamedTuple):
    """Rows that are on their way to a device.

    Attributes:
        records: their bytes there, a row each.
        done: is reached when they are there; None where they are.
    """

    records: torch.Tensor
    done: torch.Event | None


class Lane:
    """Carries the batches of a loader to a device, ahead of need.

    On CUDA copies go through a stream of their own, so that they are made while another one
    computes; elsewhere they are waited for.
    """

    def __init__(self, loader: Loader, device: torch.device) -> None:
        """Prepare.

        Args:
            loader: of the batches.
            device: where they are to go.
        """
        self._loader = loader
        self._device = device
        self._stream = torch.cuda.Stream(device) if device.type == "cuda" else None
        self._pinned = Pinned(loader.most_rows * loader.layout.dtype.itemsize, device)

    def batches(self) -> Iterator[TensorBatch]:
        """The batches that are left of the epoch, on the device."""
        for records, done in self._loader.iterate(self._copied):
            if done is not None:
                current = torch.cuda.current_stream(self._device)
                current.wait_event(done)
                # They came by another stream: their memory is free once this one is done.
                records.record_stream(current)
            yield taken_apart(records, self._loader.selection)

    def _copied(self, span: Span) -> Copied:
        width = self._loader.layout.dtype.itemsize
        pinned = self._pinned.take()
        source = pinned[: span.rows * width]
        self._loader.read(span, source.numpy().view(self._loader.layout.dtype))
        if self._stream is None:
            records = source.to(self._device, copy=True).view(span.rows, width)
            self._pinned.give(pinned, None)
            return Copied(records, None)
        with torch.cuda.stream(self._stream):
            records = source.to(self._device, non_blocking=True).view(span.rows, width)
            done = torch.cuda.Event()
            done.record(self._stream)
        self._pinned.give(pinned, done)
        return Copied(records, done)


class Pinned:
    """Memory that a device can copy from by itself, again once that is done."""

    def __init__(self, size: int, device: torch.device) -> None:
        """Begin without any.

        Args:
            size: bytes of one piece.
            device: which copies.
        """
        self._size = size
        self._is_pinned = device.type == "cuda"
        self._given: deque[tuple[torch.Tensor, torch.Event | None]] = deque()
        self._lock = threading.Lock()

    def take(self) -> torch.Tensor:
        """A piece from which nothing is being copied."""
        with self._lock:
            # They are done in the order in which they were given.
            if self._given and (self._given[0][1] is None or self._given[0][1].query()):
                return self._given.popleft()[0]
        return torch.empty(self._size, dtype=torch.uint8, pin_memory=self._is_pinned)

    def give(self, piece: torch.Tensor, done: torch.Event | None) -> None:
        """Have it back, for when what is copied from it is done."""
        with self._lock:
            self._given.append((piece, done))


def taken_apart(records: torch.Tensor, selection: Selection) -> TensorBatch:
    """The columns of rows by part, where the rows are.

    Args:
        records: bytes, a row each.
        selection: what is wanted of them.
    """
    found = {}
    fields: Mapping[str, Any] = selection.layout.dtype.fields or {}
    for part in selection.layout.all_parts:
        if part.name not in selection.places:
            continue
        begin = fields[part.name][1]
        values = records[:, begin : begin + part.size].view(getattr(torch, part.dtype))
        places = selection.places[part.name]
        if places is not None:
            values = values[:, list(places)]
        found[part.name] = values[:, 0].contiguous() if part.is_scalar else values.contiguous()
    return found
