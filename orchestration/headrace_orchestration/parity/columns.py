"""Columns compared value by value, bit for bit."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as pt

if TYPE_CHECKING:
    from headrace_features.kernel.arrays import Bools, Ints

_NAN = np.array(np.nan).view(np.int64)


def same(left: pa.ChunkedArray, right: pa.ChunkedArray) -> Bools:
    """Where two columns of one type have the same value, or both none.

    Doubles are the same if their bits are: 0.0 is not -0.0. Every NaN is the same.
    """
    if pt.is_floating(left.type):
        left, right = _bits(left), _bits(right)
    both_null = pc.and_(pc.is_null(left), pc.is_null(right))
    equal = pc.if_else(both_null, True, pc.fill_null(pc.equal(left, right), False))  # noqa: FBT003 - values
    result: Bools = np.asarray(_flat(equal).to_numpy(zero_copy_only=False), np.bool_)
    return result


def _bits(column: pa.ChunkedArray) -> pa.Array:
    flat = _flat(column)
    missing = flat.is_null().to_numpy(zero_copy_only=False)
    numbers = flat.fill_null(0.0).to_numpy()
    bits: Ints = numbers.view(np.int64).copy()
    bits[np.isnan(numbers)] = _NAN
    return pa.array(bits, mask=np.asarray(missing, np.bool_))


def _flat(column: pa.ChunkedArray | pa.Array) -> pa.Array:
    """A column in one piece."""
    if isinstance(column, pa.Array):
        return column
    return pa.concat_arrays(column.chunks) if column.num_chunks else pa.array([], column.type)
