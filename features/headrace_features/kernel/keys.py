"""Sorted pairs of entity and time, to be searched for many at once."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from headrace_features.kernel.sorting import positions
from headrace_schemas.columns import INT64_MAX

if TYPE_CHECKING:
    from headrace_features.kernel.arrays import Ints


class SortedKeys:
    """One integer for each (entity, time), where both fit into 63 bits; else for (entity, rank)."""

    def __init__(self, entity: Ints, time_ms: Ints, entities: int) -> None:
        """Take pairs that are sorted.

        Args:
            entity, time_ms: entity codes and times, shape (keys,).
            entities: above every code that is kept or asked for.
        """
        self._count = len(time_ms)
        if not self._count:
            return
        # The time after the last one means "past it", and is still below the next entity.
        self._low = int(time_ms.min())
        self._step = int(time_ms.max()) - self._low + 2
        self._times: Ints | None = None
        if entities * self._step > INT64_MAX:
            self._times = np.unique(time_ms)
        self._keys = self._key(entity, time_ms)

    def first_at(self, entity: Ints, time_ms: Ints) -> Ints:
        """For each pair the first position of that entity at or after that time, or past its last.

        Positions are those among all keys: an entity without any has that of the next one.
        """
        if not self._count:
            return np.zeros(len(entity), np.int64)
        return positions(self._keys, self._key(entity, time_ms))

    def _key(self, entity: Ints, time_ms: Ints) -> Ints:
        if self._times is not None:
            return entity * (self._count + 1) + np.searchsorted(self._times, time_ms)
        inside = np.clip(time_ms, self._low, self._low + self._step - 1)
        inside -= self._low
        inside += entity * self._step
        return inside
