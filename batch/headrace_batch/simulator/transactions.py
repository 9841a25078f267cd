"""The genuine transactions of one day."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from headrace_batch.simulator.model import CHANNELS, DAY_S, NOON_S, TIME_DEVIATION_S
from headrace_batch.simulator.profiles import Profiles

_CHANNEL_BOUNDS = np.cumsum([share for _, share in CHANNELS])[:-1]


@dataclass(frozen=True, slots=True, eq=False)
class Transactions:
    """Columns of equal length: numbers of card, terminal and channel, time and amount."""

    card: NDArray[np.int32]
    terminal: NDArray[np.int32]
    time_of_day_ms: NDArray[np.int64]
    amount_minor: NDArray[np.int64]
    channel: NDArray[np.int8]


def draw_counts(
    random: np.random.Generator, mean_per_day: NDArray[np.float64]
) -> NDArray[np.int64]:
    """How many transactions each card makes in a day."""
    return random.poisson(mean_per_day)


def draw_transactions(
    random: np.random.Generator, profiles: Profiles, counts: NDArray[np.int64]
) -> Transactions:
    """`counts[c]` transactions of each card c, those of one card adjacent, cards ascending."""
    card = np.repeat(np.arange(counts.size, dtype=np.int32), counts)
    seconds = _times_of_day(random, card.size)
    mean_amount = profiles.mean_amount[card]
    return Transactions(
        card=card,
        terminal=_terminals(random, profiles, card),
        # The normal density is flat within a second: its fraction is the uniform millisecond.
        time_of_day_ms=(seconds * 1000).astype(np.int64),
        amount_minor=_amounts(random, mean_amount),
        channel=np.searchsorted(_CHANNEL_BOUNDS, random.random(card.size), "right").astype(np.int8),
    )


def _times_of_day(random: np.random.Generator, size: int) -> NDArray[np.float64]:
    """Seconds from 1 to below 86,400, normal around noon within that."""
    seconds = random.normal(NOON_S, TIME_DEVIATION_S, size)
    while (outside := np.flatnonzero((seconds < 1) | (seconds >= DAY_S))).size:
        seconds[outside] = random.normal(NOON_S, TIME_DEVIATION_S, outside.size)
    return seconds


def _terminals(
    random: np.random.Generator, profiles: Profiles, card: NDArray[np.int32]
) -> NDArray[np.int32]:
    """For each transaction one of its card's terminals, each as likely."""
    first = profiles.neighbours.first
    begin = first[card]
    position = (random.random(card.size) * (first[card + 1] - begin)).astype(np.int64)
    terminal: NDArray[np.int32] = profiles.neighbours.terminals[begin + position]
    return terminal


def _amounts(random: np.random.Generator, mean: NDArray[np.float64]) -> NDArray[np.int64]:
    """Normal with a deviation of half the mean; what is negative is uniform up to twice it."""
    amount = mean + mean / 2 * random.standard_normal(mean.size)
    negative = np.flatnonzero(amount < 0)
    amount[negative] = random.uniform(0, 2, negative.size) * mean[negative]
    amount_minor: NDArray[np.int64] = np.rint(amount * 100).astype(np.int64)
    return amount_minor
