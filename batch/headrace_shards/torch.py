"""Training sets in PyTorch: tensors of batches, on the processor or on a device.

It is a module of its own so that nothing else needs torch.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch.utils.data import IterableDataset, get_worker_info

from headrace_schemas.errors import UnsupportedError
from headrace_shards.lane import Lane, TensorBatch
from headrace_shards.loader import Loader


class ShardDataset(IterableDataset[TensorBatch]):  # type: ignore[misc] # its environment has the types
    """The batches of a loader as tensors, for PyTorch's DataLoader with ``batch_size=None``.

    On a device each batch is gathered into pinned memory, copied as it is by a stream of its own
    while the step before it computes, and taken apart there. The state is that of the loader:
    what a step was handed, not what was copied ahead.
    """

    def __init__(self, loader: Loader, device: torch.device | str = "cpu") -> None:
        """Prepare.

        Args:
            loader: of the batches.
            device: on which the tensors are to be.
        """
        super().__init__()
        self._loader = loader
        self._device = torch.device(device)

    @property
    def loader(self) -> Loader:
        """Whose batches these are."""
        return self._loader

    def __len__(self) -> int:
        """How many batches an epoch has."""
        return len(self._loader)

    def __iter__(self) -> Iterator[TensorBatch]:
        """The batches that are left of the epoch.

        Raises:
            UnsupportedError: several worker processes would each read everything.
        """
        if get_worker_info() is not None:
            raise UnsupportedError(
                "a loader in worker processes of DataLoader is not supported",
                hint="num_workers=0: it reads ahead by threads",
            )
        if self._device.type == "cpu":
            return (
                {name: torch.from_numpy(array) for name, array in batch.items()}
                for batch in self._loader
            )
        return Lane(self._loader, self._device).batches()

    def state_dict(self) -> dict[str, Any]:
        """See `Loader.state_dict`."""
        return self._loader.state_dict()

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """See `Loader.load_state_dict`."""
        self._loader.load_state_dict(state_dict)
