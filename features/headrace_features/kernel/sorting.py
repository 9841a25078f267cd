"""Sorting rows by entity and time."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from headrace_features.kernel.arrays import Ints

_RADIX_BITS = 16
#: Needles that are looked for together: they and the keys between them stay in the cache.
_BLOCK = 1 << 12


def order_by(codes: Ints, times_ms: Ints) -> Ints:
    """The stable permutation that sorts rows by (code, time).

    Codes are dense and not negative. They go through numpy's radix sort, which exists for 16 bits
    only, one digit at a time: for tables that come in order of time this is all there is to do.
    """
    order = None
    if not is_sorted(times_ms):
        order = np.argsort(times_ms, kind="stable")
    return _radix(codes, order)


def stable_order(codes: Ints) -> Ints:
    """The stable permutation that sorts dense codes."""
    return _radix(codes, None)


def positions(keys: Ints, needles: Ints) -> Ints:
    """`np.searchsorted(keys, needles)`, three times as fast where the needles are sorted as well.

    Block by block only the keys between the first and the last needle are searched.
    """
    if len(needles) <= _BLOCK or not is_sorted(needles):
        return np.searchsorted(keys, needles)
    result = np.empty(len(needles), np.int64)
    edges = np.searchsorted(keys, needles[::_BLOCK])
    ends = np.append(edges[1:], len(keys))
    for block, (low, high) in enumerate(zip(edges.tolist(), ends.tolist(), strict=True)):
        inside = slice(block * _BLOCK, (block + 1) * _BLOCK)
        result[inside] = np.searchsorted(keys[low:high], needles[inside])
        result[inside] += low
    return result


def is_sorted(values: Ints) -> bool:
    """Whether values never fall."""
    return bool((values[1:] >= values[:-1]).all())


def _radix(codes: Ints, order: Ints | None) -> Ints:
    highest = int(codes.max(initial=0))
    shift = 0
    while order is None or highest >> shift:
        digits = (codes if order is None else codes[order]) >> shift
        by_digit = np.argsort((digits & 0xFFFF).astype(np.uint16), kind="stable")
        order = by_digit if order is None else order[by_digit]
        shift += _RADIX_BITS
    return order
