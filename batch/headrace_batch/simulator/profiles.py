"""Who takes part: cards with their habits, terminals with their places."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from headrace_batch.simulator.config import SimulationConfig
from headrace_batch.simulator.model import (
    KEPT_SHARE,
    LEAST_MEAN_AMOUNT,
    MAP_SIDE,
    MOST_MEAN_AMOUNT,
    MOST_TRANSACTIONS_PER_DAY,
)
from headrace_batch.simulator.neighbours import Neighbours, Places, terminals_within
from headrace_batch.simulator.randomness import Stream, generator


@dataclass(frozen=True, slots=True, eq=False)
class Profiles:
    """The cards' habits, one element each, and where the terminals are.

    `mean_amount` is in major units; `mean_per_day` counts the transactions that take place, and
    is 0 for a card that reaches no terminal.
    """

    mean_amount: NDArray[np.float64]
    mean_per_day: NDArray[np.float64]
    neighbours: Neighbours
    terminals: Places


def draw_profiles(config: SimulationConfig) -> Profiles:
    """The cards and terminals of a simulation."""
    random = generator(config.seed, Stream.CARDS)
    homes = _places(random, config.cards)
    mean_amount = random.uniform(LEAST_MEAN_AMOUNT, MOST_MEAN_AMOUNT, config.cards)
    mean_drawn_per_day = random.uniform(0, MOST_TRANSACTIONS_PER_DAY, config.cards)
    terminals = _places(generator(config.seed, Stream.TERMINALS), config.terminals)
    neighbours = terminals_within(homes, terminals, config.radius)
    reaches_one = np.diff(neighbours.first) > 0
    return Profiles(
        mean_amount, mean_drawn_per_day * KEPT_SHARE * reaches_one, neighbours, terminals
    )


def _places(random: np.random.Generator, count: int) -> Places:
    return Places(random.uniform(0, MAP_SIDE, count), random.uniform(0, MAP_SIDE, count))
