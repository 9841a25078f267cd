"""Columns of an event table as numpy arrays, in the order of the kernel."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

if TYPE_CHECKING:
    from headrace_features.kernel.arrays import Bools, Doubles, Ints


@dataclass(frozen=True)
class NumericColumn:
    """Numbers and where they are not null; a null's number is 0."""

    values: Ints | Doubles
    valid: Bools | None

    def slice(self, start: int, stop: int) -> NumericColumn:
        """Rows start … stop - 1."""
        valid = None if self.valid is None else self.valid[start:stop]
        return NumericColumn(self.values[start:stop], valid)


def numbers(column: pa.ChunkedArray, order: Ints) -> NumericColumn:
    """An integer, floating or boolean column in a new order; booleans become 0 and 1."""
    valid = pc.is_valid(column).to_numpy()[order] if column.null_count else None
    floating = pa.types.is_floating(column.type)
    zero = pa.scalar(0.0 if floating else 0, pa.float64() if floating else pa.int64())
    filled = column.cast(zero.type)
    if valid is not None:
        filled = pc.fill_null(filled, zero)
    return NumericColumn(filled.to_numpy()[order], valid)


def codes(column: pa.ChunkedArray, order: Ints) -> NumericColumn:
    """Dense codes of a column's distinct values, in a new order."""
    encoded = pc.dictionary_encode(column.combine_chunks())
    if isinstance(encoded, pa.ChunkedArray):
        encoded = encoded.combine_chunks()
    return numbers(pa.chunked_array([encoded.indices]), order)


def times(column: pa.ChunkedArray) -> Ints:
    """Times in ms that are never null."""
    return np.ascontiguousarray(column.cast(pa.int64()).to_numpy(), dtype=np.int64)


def ordered(values: Doubles) -> Ints:
    """Integers in the order of doubles, with -0.0 below 0.0."""
    bits = values.view(np.int64)
    return np.where(bits < 0, bits ^ np.int64(2**63 - 1), bits)


def unordered(keys: Ints) -> Doubles:
    """The doubles of `ordered`."""
    return np.where(keys < 0, keys ^ np.int64(2**63 - 1), keys).view(np.float64)
