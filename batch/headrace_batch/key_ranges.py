"""Entities divided by the order of their keys.

A store that keeps entities in that order is then written from one end to the other. Divided in any
other way each part touches all of it, so that what an entity costs grows with how many there are.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from headrace_batch.local_spill import by_distinct

if TYPE_CHECKING:
    from headrace_features.kernel.arrays import Ints

#: So many keys for each part say where it ends: parts differ by a tenth or so.
_PICKED = 64


def key_bytes(keys: pa.Array | pa.ChunkedArray) -> pa.Array | pa.ChunkedArray:
    """The bytes by which stores name entities, and by which they order them."""
    return keys.cast(pa.string()).cast(pa.binary())


class KeyRanges:
    """Successive ranges of keys, each a part.

    Attributes:
        parts: how many.
    """

    def __init__(self, bounds: pa.Array) -> None:
        """Take the first key of each part but the first one, in order; each once."""
        self._bounds = bounds
        self.parts = len(bounds) + 1

    @classmethod
    def of(cls, counted: Iterable[tuple[pa.ChunkedArray, Ints]], rows: int) -> KeyRanges:
        """Ranges with about so many rows each, but for entities with more.

        Args:
            counted: keys, and how many rows each stands for; a key may come again.
            rows: how many of them make a part.
        """
        each, total = max(1, rows // _PICKED), 0
        picked = [pa.array([], pa.binary())]
        for keys, counts in counted:
            # One for every so many rows, wherever these are: of what has much there are many.
            ends = total + np.cumsum(counts)
            times = np.diff(ends // each, prepend=total // each)
            total = int(ends[-1]) if len(ends) else total
            places = np.repeat(np.arange(len(times)), times)
            picked += key_bytes(keys.take(pa.array(places))).chunks
        found = pa.concat_arrays(picked)
        found = found.take(pc.sort_indices(found))
        parts = max(1, -(-total // rows))
        starts = np.arange(1, parts) * len(found) // parts
        return cls(pc.unique(found.take(pa.array(starts))))

    def of_keys(self, keys: pa.ChunkedArray) -> Ints:
        """The part that each key belongs to."""
        if self.parts == 1:
            return np.zeros(len(keys), np.int64)
        return by_distinct(keys, self._of_distinct)

    def _of_distinct(self, distinct: pa.Array) -> Ints:
        # Stable: a bound comes before the key that equals it.
        order = pc.sort_indices(pa.concat_arrays([self._bounds, key_bytes(distinct)])).to_numpy()
        is_key = order >= len(self._bounds)
        found = np.empty(len(distinct), np.int64)
        found[order[is_key] - len(self._bounds)] = np.cumsum(~is_key)[is_key]
        return found
