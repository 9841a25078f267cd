"""Distributions of columns by bins, and how far two of them are apart."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

Counts = npt.NDArray[np.int64]

#: Bins of a column of numbers; fewer where many rows have one value.
_BINS = 10
#: Values of another column that have a bin of their own.
_VALUES = 50
#: A share of nothing would make the index infinite.
_LEAST_SHARE = 1e-4


@dataclass(frozen=True, slots=True)
class Bins:
    """How a column is divided: numbers by the edges between bins, others by their values.

    Each has one more bin for what is null, and values have one for all others.
    """

    edges: tuple[float, ...] | None
    values: tuple[str, ...] | None

    @property
    def count(self) -> int:
        """How many bins there are."""
        return len(self.edges or self.values or ()) + 2

    def counts(self, column: pa.ChunkedArray) -> Counts:
        """How many rows of a column are in each bin, that of null last."""
        nulls = column.null_count
        if self.edges is not None:
            numbers = column.drop_null().cast(pa.float64(), safe=False).to_numpy()
            places = np.searchsorted(np.array(self.edges), numbers, side="right")
        else:
            known = pa.array(self.values or (), pa.string())
            found = pc.index_in(column.drop_null().cast(pa.string()), value_set=known)
            places = pc.fill_null(found, len(known)).to_numpy()
        counts = np.bincount(places, minlength=self.count).astype(np.int64)
        counts[-1] = nulls
        return counts


def bins_of(column: pa.ChunkedArray) -> Bins:
    """Bins of about equally many rows each: the deciles of numbers, else the frequent values."""
    present = column.drop_null()
    if pa.types.is_floating(column.type) or pa.types.is_integer(column.type):
        numbers = present.cast(pa.float64(), safe=False).to_numpy()
        if not numbers.size:
            return Bins((), None)
        inner = np.linspace(0, 1, _BINS + 1)[1:-1]
        deciles, often = np.unique(
            np.quantile(numbers, inner, method="inverted_cdf"), return_counts=True
        )
        # A value that many rows have is a bin of its own: else a shift from it would not be seen.
        after = np.nextafter(deciles[often > 1], np.inf)
        return Bins(tuple(np.union1d(deciles, after).tolist()), None)
    counted = present.cast(pa.string()).value_counts().to_pylist()
    counted.sort(key=lambda one: (-one["counts"], one["values"]))
    return Bins(None, tuple(one["values"] for one in counted[:_VALUES]))


def stability_index(found: Sequence[int] | Counts, baseline: Sequence[float]) -> float:
    """The population stability index of a distribution against the shares of a baseline.

    The sum of (a - b) ln(a / b) over bins; a share of less than 0.0001 counts as that. 0 where
    both are the same; nothing was found where there are no rows, which is as far as can be.
    """
    counts = np.asarray(found, np.float64)
    shares = counts / counts.sum() if counts.sum() else np.zeros_like(counts)
    a = np.maximum(shares, _LEAST_SHARE)
    b = np.maximum(np.asarray(baseline, np.float64), _LEAST_SHARE)
    return float(np.sum((a - b) * np.log(a / b)))
