"""Aggregates that have no inverse, computed from intervals of rows."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from headrace_features.kernel.sorting import stable_order

if TYPE_CHECKING:
    from headrace_features.kernel.arrays import Ints

Pieces = tuple["Ints", "Ints", "Ints"]

LOWEST = np.iinfo(np.int64).min
HIGHEST = np.iinfo(np.int64).max


def greatest(pieces: Pieces, keys: Ints, rows: int) -> Ints:
    """For each row the greatest key among the events that it sees, or `LOWEST`.

    A sparse table turned round: an interval is written as two overlapping blocks of a power of
    two, then each level is pushed down to the one below. O((events + rows) log rows), whatever
    the lengths of the intervals.

    Args:
        pieces: events, starts and stops of the intervals.
        keys: one int64 for each event.
        rows: number of rows.
    """
    event, start, stop = pieces
    key = keys[event]
    level = np.frexp((stop - start).astype(np.float64))[1] - 1
    by_level = stable_order(level.astype(np.int64))
    bounds = np.searchsorted(level[by_level], np.arange(level.max(initial=0) + 2))
    best = np.full(rows, LOWEST, np.int64)
    for k in range(len(bounds) - 2, -1, -1):
        half = 1 << k
        if k < len(bounds) - 2:
            pushed = best.copy()
            np.maximum(pushed[half:], best[:-half], out=pushed[half:])
            best = pushed
        chosen = by_level[bounds[k] : bounds[k + 1]]
        np.maximum.at(best, start[chosen], key[chosen])
        np.maximum.at(best, stop[chosen] - half, key[chosen])
    return best


def least(pieces: Pieces, keys: Ints, rows: int) -> Ints:
    """For each row the least key among the events that it sees, or `HIGHEST`."""
    # ~x reverses the order of int64 without an overflow.
    return ~greatest(pieces, ~keys, rows)


def unite(pieces: Pieces, groups: Ints, rows: int) -> Pieces:
    """Intervals in which at least one event of a group is seen: group, start, stop.

    Args:
        pieces: events, starts and stops of the intervals.
        groups: the dense group of each event; one group belongs to one entity.
        rows: number of rows.
    """
    event, start, stop = pieces
    group = groups[event]
    order = stable_order(start)
    order = order[stable_order(group[order])]
    group, start, stop = group[order], start[order], stop[order]
    # Offsets that rise with the group make one running maximum serve all groups.
    reach = np.maximum.accumulate(stop + group * (rows + 1)) - group * (rows + 1)
    covered = np.zeros_like(start)
    same = group[1:] == group[:-1]
    covered[1:][same] = reach[:-1][same]
    start = np.maximum(start, covered)
    kept = start < stop
    return group[kept], start[kept], stop[kept]


def count(pieces: Pieces, rows: int) -> Ints:
    """For each row the number of intervals that contain it."""
    _, start, stop = pieces
    change = np.bincount(start, minlength=rows + 1) - np.bincount(stop, minlength=rows + 1)
    return np.cumsum(change[:rows])


def kth_least(pieces: Pieces, codes: Ints, rank: Ints) -> Ints:
    """For each row the code of rank `rank` (from 1) among the items that it sees.

    All rows search at once, one bit of the code a step, from the highest: they count the items
    whose code begins like theirs and goes on with 0.

    Args:
        pieces: items, starts and stops of the intervals.
        codes: the dense code of each item, not negative.
        rank: the rank asked for in each row; 0 where none is, or fewer are seen.

    Returns:
        The codes, shape (rows,); -1 where the rank is 0.
    """
    item, start, stop = pieces
    code = codes[item]
    rows = len(rank)
    asked = np.flatnonzero(rank)
    remaining = rank[asked]
    prefix = np.zeros(len(asked), np.int64)
    by_start, by_stop = stable_order(start), stable_order(stop)
    for bit in range(int(codes.max(initial=0)).bit_length() - 1, -1, -1):
        target = prefix * (rows + 1) + asked
        seen = np.zeros(len(asked), np.int64)
        for at, order, sign in ((start, by_start, 1), (stop, by_stop, -1)):
            zero = order[(code[order] >> bit) & 1 == 0]
            group = code[zero] >> (bit + 1)
            sorted_zero = zero[stable_order(group)]
            keys = (code[sorted_zero] >> (bit + 1)) * (rows + 1) + at[sorted_zero]
            seen += sign * np.searchsorted(keys, target, side="right")
        higher = remaining > seen
        remaining = remaining - np.where(higher, seen, 0)
        prefix = prefix * 2 + higher
    result = np.full(rows, -1, np.int64)
    result[asked] = prefix
    return result
