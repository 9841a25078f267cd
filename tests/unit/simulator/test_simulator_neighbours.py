"""The grid search against all distances."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace_batch.simulator import neighbours
from headrace_batch.simulator.neighbours import Neighbours, Places, terminals_within

_COORDINATES = st.one_of(
    st.floats(0, 100, exclude_max=True),
    st.sampled_from([0.0, 5.0, 10.0, 50.0, 95.0, float(np.nextafter(100, 0))]),
)
_PLACES = st.lists(st.tuples(_COORDINATES, _COORDINATES), min_size=1, max_size=40).map(
    lambda points: Places(*np.array(points, np.float64).T.copy())
)


def _by_card(found: Neighbours) -> list[list[int]]:
    parts = np.split(found.terminals, found.first[1:-1])
    return [sorted(part.tolist()) for part in parts]


def _by_all_distances(cards: Places, terminals: Places, radius: float) -> list[list[int]]:
    across = cards.x[:, np.newaxis] - terminals.x
    along = cards.y[:, np.newaxis] - terminals.y
    near = across * across + along * along < radius * radius
    return [np.flatnonzero(row).tolist() for row in near]


@given(_PLACES, _PLACES, st.sampled_from([0.01, 3.0, 5.0, 10.0, 33.4, 50.0, 99.0, 150.0]))
def test_every_terminal_within_the_radius_is_found_and_no_other(
    cards: Places, terminals: Places, radius: float
) -> None:
    found = terminals_within(cards, terminals, radius)
    assert _by_card(found) == _by_all_distances(cards, terminals, radius)


@pytest.mark.parametrize("pairs_at_once", [1, 100, 3_000])
def test_the_size_of_a_block_changes_nothing(
    pairs_at_once: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    random = np.random.default_rng(3)
    cards = Places(random.uniform(0, 100, 200), random.uniform(0, 100, 200))
    terminals = Places(random.uniform(0, 100, 900), random.uniform(0, 100, 900))
    monkeypatch.setattr(neighbours, "_PAIRS_AT_ONCE", pairs_at_once)
    found = terminals_within(cards, terminals, 6.0)
    assert _by_card(found) == _by_all_distances(cards, terminals, 6.0)
