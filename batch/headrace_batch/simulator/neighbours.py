"""Which terminals lie within a radius of each card, by grid cells."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from headrace_batch.simulator.model import MAP_SIDE

# Pairs whose distance is computed at once: bounds memory, keeps the arrays in the cache.
_PAIRS_AT_ONCE = 200_000


@dataclass(frozen=True, slots=True, eq=False)
class Places:
    """Points on the map: coordinates from 0 to its side, one element each."""

    x: NDArray[np.float64]
    y: NDArray[np.float64]

    def take(self, index: NDArray[np.int64]) -> Places:
        """The points at `index`, in its order."""
        return Places(self.x[index], self.y[index])


@dataclass(frozen=True, slots=True, eq=False)
class Neighbours:
    """Those of card c are `terminals[first[c]:first[c + 1]]`, in an order that means nothing."""

    first: NDArray[np.int64]
    terminals: NDArray[np.int32]


def terminals_within(cards: Places, terminals: Places, radius: float) -> Neighbours:
    """The terminals at less than `radius` from each card.

    Terminals are sorted into square cells at least `radius` wide. What a card can reach lies in
    the three by three cells around its own: in three runs, since a row of cells is contiguous.
    """
    # More cells than terminals would only cost memory.
    side = max(1, min(int(MAP_SIDE / radius), int(np.sqrt(terminals.x.size))))
    column, row = _cells(terminals, side)
    cell = row * side + column
    order = np.argsort(cell, kind="stable")
    first_in_cell = np.searchsorted(cell[order], np.arange(side * side + 1))
    begin, length = _runs(cards, first_in_cell, side)
    by_cell = terminals.take(order)
    number = order.astype(np.int32)
    counts = np.zeros(cards.x.size, np.int64)
    found: list[NDArray[np.int32]] = []
    for some in _blocks(length.sum(axis=1)):
        card, candidate = _pairs(begin[some], length[some])
        across = cards.x[some][card] - by_cell.x[candidate]
        along = cards.y[some][card] - by_cell.y[candidate]
        near = np.flatnonzero(across * across + along * along < radius * radius)
        counts[some] = np.bincount(card[near], minlength=some.stop - some.start)
        found.append(number[candidate[near]])
    first = np.concatenate(([0], np.cumsum(counts)))
    return Neighbours(first, np.concatenate(found))


def _cells(places: Places, side: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The column and the row of each place's cell, 0 to `side` - 1."""
    scale = side / MAP_SIDE
    column = np.minimum((places.x * scale).astype(np.int64), side - 1)
    row = np.minimum((places.y * scale).astype(np.int64), side - 1)
    return column, row


def _runs(
    cards: Places, first_in_cell: NDArray[np.int64], side: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The begin and the length of each card's three runs of candidates, both (cards, 3)."""
    column, row = (axis[:, np.newaxis] for axis in _cells(cards, side))
    rows = row + np.array([-1, 0, 1])
    inside = (rows >= 0) & (rows < side)
    start_of_row = np.where(inside, rows, 0) * side
    begin = first_in_cell[start_of_row + np.maximum(column - 1, 0)]
    end = first_in_cell[start_of_row + np.minimum(column + 2, side)]
    return begin, np.where(inside, end - begin, 0)


def _blocks(candidates: NDArray[np.int64]) -> Iterator[slice]:
    """Runs of cards with about as many candidates as are handled at once, at least one card."""
    total = np.cumsum(candidates)
    start = 0
    while start < candidates.size:
        done = total[start - 1] if start else 0
        stop = int(np.searchsorted(total, done + _PAIRS_AT_ONCE, side="right"))
        stop = max(stop, start + 1)
        yield slice(start, stop)
        start = stop


def _pairs(
    begin: NDArray[np.int64], length: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """All pairs of a card (its position here) and a candidate, given the cards' runs."""
    flat = length.ravel()
    before = np.cumsum(flat) - flat
    candidate = np.arange(flat.sum()) + np.repeat(begin.ravel() - before, flat)
    card = np.repeat(np.arange(length.shape[0]), length.sum(axis=1))
    return card, candidate
