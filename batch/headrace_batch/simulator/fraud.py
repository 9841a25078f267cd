"""The three fraud scenarios: what is drawn for all days, and what it does to one of them.

1. A large amount is fraud.
2. Each day some terminals are compromised: all their transactions of 28 days are fraud.
3. Each day the details of some cards are stolen: of their transactions in 14 days a third, drawn
   at random, has five times the amount and is fraud. A transaction that is drawn for two days
   is multiplied twice, as in the published generator.

A later scenario takes the place of an earlier one, and only the amounts before scenario 3 count
for scenario 1.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from headrace_batch.simulator.config import SimulationConfig
from headrace_batch.simulator.model import (
    COMPROMISED_DAYS,
    LARGE_AMOUNT_MINOR,
    STOLEN_DAYS,
    STOLEN_FACTOR,
    STOLEN_ONE_IN,
)
from headrace_batch.simulator.profiles import Profiles
from headrace_batch.simulator.randomness import Stream, generator
from headrace_batch.simulator.transactions import Transactions, draw_counts


@dataclass(frozen=True, slots=True, eq=False)
class ByDay:
    """Numbers grouped by day: those of day d are `values[first[d]:first[d + 1]]`."""

    values: NDArray[np.int64]
    first: NDArray[np.int64]

    def within(self, begin_day: int, end_day: int) -> NDArray[np.int64]:
        """Those of the days from `begin_day` (0 if it is less) to before `end_day`."""
        return self.values[self.first[max(begin_day, 0)] : self.first[end_day]]


@dataclass(frozen=True, slots=True, eq=False)
class FraudPlan:
    """What befalls whom and when, for all days.

    `compromised_terminals` are those that begin to be so on a day. For the cards in
    `used_cards`, whose details are in thieves' hands on a day, `used_counts` says how many
    transactions they make on it. The fraudulent ones among them are given by `fraud_cards` and,
    element by element, `fraud_ordinals`: which of the card's transactions of the day it is.
    """

    compromised_terminals: ByDay
    used_cards: ByDay
    used_counts: ByDay
    fraud_cards: ByDay
    fraud_ordinals: ByDay


def plan_fraud(config: SimulationConfig, profiles: Profiles) -> FraudPlan:
    """Draw what scenarios 2 and 3 need to know before the first transaction is drawn.

    A third of the transactions of 14 days can only be drawn when their number is known. The
    daily numbers of the few cards concerned are therefore drawn here, ahead of all others.
    """
    compromised = _draw_daily(
        generator(config.seed, Stream.COMPROMISED_TERMINALS),
        config.days,
        config.terminals,
        config.compromised_terminals_per_day,
    )
    stolen = _draw_daily(
        generator(config.seed, Stream.STOLEN_CARDS),
        config.days,
        config.cards,
        config.stolen_cards_per_day,
    )
    used_cards, used_counts = _draw_used(config, profiles, stolen)
    fraud_cards, fraud_ordinals = _draw_stolen(config, stolen, used_cards, used_counts)
    return FraudPlan(compromised, used_cards, used_counts, fraud_cards, fraud_ordinals)


def settle_counts(plan: FraudPlan, day: int, counts: NDArray[np.int64]) -> None:
    """Put the planned numbers of transactions of a day in the place of those drawn."""
    counts[plan.used_cards.within(day, day + 1)] = plan.used_counts.within(day, day + 1)


def apply_fraud(
    plan: FraudPlan, day: int, counts: NDArray[np.int64], drawn: Transactions, terminals: int
) -> NDArray[np.int8]:
    """The scenario of each transaction of a day, 0 where it is genuine.

    `drawn` is in the order of `draw_transactions` with `counts`; its amounts are changed in
    place. `terminals` is the number of all.
    """
    scenario = (drawn.amount_minor > LARGE_AMOUNT_MINOR).astype(np.int8)
    compromised = np.zeros(terminals, np.bool_)
    compromised[plan.compromised_terminals.within(day - COMPROMISED_DAYS + 1, day + 1)] = True
    scenario[compromised[drawn.terminal]] = 2
    end_of_card = np.cumsum(counts)
    card = plan.fraud_cards.within(day, day + 1)
    row = end_of_card[card] - counts[card] + plan.fraud_ordinals.within(day, day + 1)
    np.multiply.at(drawn.amount_minor, row, STOLEN_FACTOR)
    scenario[row] = 3
    return scenario


def _draw_daily(random: np.random.Generator, days: int, population: int, rate: float) -> ByDay:
    """For each day distinct members of a population, `rate` of them on average."""
    first = np.floor(np.arange(days + 1) * rate).astype(np.int64)
    drawn = [random.choice(population, size, replace=False) for size in np.diff(first).tolist()]
    return ByDay(np.concatenate(drawn), first)


def _draw_used(config: SimulationConfig, profiles: Profiles, stolen: ByDay) -> tuple[ByDay, ByDay]:
    """The cards in thieves' hands on each day, ascending, and their numbers of transactions."""
    cards = [np.unique(stolen.within(day - STOLEN_DAYS + 1, day + 1)) for day in range(config.days)]
    counts = [
        draw_counts(
            generator(config.seed, Stream.STOLEN_CARD_COUNTS, day), profiles.mean_per_day[some]
        )
        for day, some in enumerate(cards)
    ]
    first = np.cumsum([0, *map(len, cards)])
    return ByDay(np.concatenate(cards), first), ByDay(np.concatenate(counts), first)


def _draw_stolen(
    config: SimulationConfig, stolen: ByDay, used_cards: ByDay, used_counts: ByDay
) -> tuple[ByDay, ByDay]:
    """The fraudulent transactions of stolen cards, as card and ordinal within card and day."""
    days: list[NDArray[np.int64]] = []
    cards: list[NDArray[np.int64]] = []
    ordinals: list[NDArray[np.int64]] = []
    for begin_day in range(config.days):
        some = stolen.within(begin_day, begin_day + 1)
        window = range(begin_day, min(begin_day + STOLEN_DAYS, config.days))
        counts = np.concatenate(
            [
                used_counts.within(day, day + 1)[
                    np.searchsorted(used_cards.within(day, day + 1), some)
                ]
                for day in window
            ]
        )
        total = int(counts.sum())
        random = generator(config.seed, Stream.STOLEN_TRANSACTIONS, begin_day)
        drawn = random.choice(total, total // STOLEN_ONE_IN, replace=False)
        end = np.cumsum(counts)
        group = np.searchsorted(end, drawn, side="right")
        days.append(begin_day + group // some.size)
        cards.append(some[group % some.size])
        ordinals.append(drawn - end[group] + counts[group])
    day = np.concatenate(days)
    order = np.argsort(day, kind="stable")
    first = np.searchsorted(day[order], np.arange(config.days + 1))
    return (
        ByDay(np.concatenate(cards)[order], first),
        ByDay(np.concatenate(ordinals)[order], first),
    )
