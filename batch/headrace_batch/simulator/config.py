"""What a simulation is asked for, checked, and the sizing for a wanted number of rows."""

from __future__ import annotations

import math
import zlib
from datetime import UTC, date, datetime, time

import msgspec

from headrace_batch.simulator.model import (
    DAY_MS,
    KEPT_SHARE,
    LABEL_DELAY_MS,
    MAP_SIDE,
    MOST_TRANSACTIONS_PER_DAY,
)
from headrace_schemas.errors import ConfigurationError
from headrace_schemas.event_times import PLAUSIBLE

_MOST_CARDS = 50_000_000
_MOST_TERMINALS = 100_000_000
# Every pair of a card and a terminal in its reach is held in memory, four bytes each.
_MOST_PAIRS = 500_000_000

_PUBLISHED_CARDS = 5_000
_PUBLISHED_TERMINALS = 10_000
_PUBLISHED_DAYS = 183
_PUBLISHED_RADIUS = 5.0
_PUBLISHED_COMPROMISED_TERMINALS = 2.0
_PUBLISHED_STOLEN_CARDS = 3.0

# Cards of a simulation that is sized for a number of rows.
_FEWEST_SIZED_CARDS = 50
_MOST_SIZED_CARDS = 5_000_000


class SimulationConfig(msgspec.Struct, frozen=True, kw_only=True):
    """The size and the seed of a simulation; the defaults are the published ones.

    Attributes:
        seed: what every draw derives from; equal configurations give equal bytes.
        cards: how many there are, each at a place on a square map of 100 by 100.
        terminals: how many there are, likewise.
        days: how many days are simulated.
        start: the first of them, beginning at midnight UTC.
        radius: how far on the map a card goes for a terminal.
        compromised_terminals_per_day: how many begin to be so each day, on average: 0.5 is one
            every other day.
        stolen_cards_per_day: likewise.
        rows: the simulation ends after that many transactions, in the order of time; None
            simulates all days to their end.
    """

    seed: int = 0
    cards: int = _PUBLISHED_CARDS
    terminals: int = _PUBLISHED_TERMINALS
    days: int = _PUBLISHED_DAYS
    start: date = date(2018, 4, 1)
    radius: float = _PUBLISHED_RADIUS
    compromised_terminals_per_day: float = _PUBLISHED_COMPROMISED_TERMINALS
    stolen_cards_per_day: float = _PUBLISHED_STOLEN_CARDS
    rows: int | None = None

    def __post_init__(self) -> None:
        """Raises ConfigurationError for what can't be simulated."""
        if self.seed < 0:
            raise ConfigurationError(f"seed is {self.seed}, expected 0 or more")
        _check_count("cards", self.cards, _MOST_CARDS)
        _check_count("terminals", self.terminals, _MOST_TERMINALS)
        if self.rows is not None and self.rows < 1:
            raise ConfigurationError(
                f"rows is {self.rows}, expected 1 or more", hint="leave it out for all rows"
            )
        _check_rate(
            "compromised_terminals_per_day",
            self.compromised_terminals_per_day,
            f"the {self.terminals} terminals",
            self.terminals,
        )
        _check_rate(
            "stolen_cards_per_day", self.stolen_cards_per_day, f"the {self.cards} cards", self.cards
        )
        self._check_days()
        self._check_radius()

    @property
    def start_ms(self) -> int:
        """Midnight UTC of the first day, in milliseconds."""
        return round(datetime.combine(self.start, time(), UTC).timestamp()) * 1000

    @property
    def world(self) -> str:
        """Four hexadecimal digits for what decides who pays where and when, and how much.

        Transactions of other worlds have other ids: they can be kept beside these. The same world
        with more rows goes on with the same.
        """
        decisive = (self.seed, self.cards, self.terminals, self.days, self.start, self.radius)
        return f"{zlib.crc32(msgspec.json.encode(decisive)) & 0xFFFF:04x}"

    def _check_days(self) -> None:
        if self.days < 1:
            raise ConfigurationError(f"days is {self.days}, expected 1 or more")
        last_ms = self.start_ms + self.days * DAY_MS + LABEL_DELAY_MS
        if self.start_ms < PLAUSIBLE.earliest_ms or last_ms > PLAUSIBLE.latest_ms:
            raise ConfigurationError(
                f"{self.days} days from {self.start}, with labels a week later, leave the years "
                "2000 to 2099",
                hint="choose another start or fewer days",
            )

    def _check_radius(self) -> None:
        if not (math.isfinite(self.radius) and self.radius > 0):
            raise ConfigurationError(
                f"radius is {self.radius}, expected more than 0",
                hint=f"the map is {MAP_SIDE:.0f} by {MAP_SIDE:.0f}",
            )
        in_reach = min(1.0, math.pi * (self.radius / MAP_SIDE) ** 2) * self.terminals
        if in_reach * self.cards > _MOST_PAIRS:
            largest = MAP_SIDE * math.sqrt(_MOST_PAIRS / (math.pi * self.cards * self.terminals))
            raise ConfigurationError(
                f"radius {self.radius:g} puts about {in_reach:.0f} of {self.terminals} terminals "
                f"in the reach of each of {self.cards} cards, more than memory should hold",
                hint=f"choose a radius of at most {largest:.3g}",
            )


def config_for_rows(
    rows: int, *, seed: int = 0, start: date = date(2018, 4, 1)
) -> SimulationConfig:
    """A configuration that gives `rows` transactions with the published proportions.

    There are two terminals to a card, about 79 in the reach of each, and as large a share of
    cards and terminals falls to fraud as published. The transactions span about 183 days, as
    long as that takes fifty to five million cards; fewer days or more otherwise. Chance decides
    how many transactions a day has: more days are allowed than are needed, and the simulation
    ends within one, after `rows` transactions (the odds that it falls short are below one in a
    million).

    Raises:
        ConfigurationError: `rows` is below 1, or the time until 2100 is too short for them.
    """
    if rows < 1:
        raise ConfigurationError(f"rows is {rows}, expected 1 or more")
    per_card_day = MOST_TRANSACTIONS_PER_DAY / 2 * KEPT_SHARE
    cards = round(rows / per_card_day / _PUBLISHED_DAYS)
    cards = min(max(cards, _FEWEST_SIZED_CARDS), _MOST_SIZED_CARDS)
    size = cards / _PUBLISHED_CARDS
    # Six standard deviations more events than wanted, from cards whose mean rates (uniform, so
    # their deviation is 1/√3 of the mean) may sum up to five standard deviations less.
    wanted = (3 + math.sqrt(9 + rows)) ** 2
    per_day = cards * per_card_day * (1 - 5 / math.sqrt(3 * cards))
    return SimulationConfig(
        seed=seed,
        cards=cards,
        terminals=round(_PUBLISHED_TERMINALS * size),
        days=math.ceil(wanted / per_day),
        start=start,
        radius=_PUBLISHED_RADIUS / math.sqrt(size),
        compromised_terminals_per_day=_PUBLISHED_COMPROMISED_TERMINALS * size,
        stolen_cards_per_day=_PUBLISHED_STOLEN_CARDS * size,
        rows=rows,
    )


def _check_count(name: str, count: int, most: int) -> None:
    if not 1 <= count <= most:
        raise ConfigurationError(f"{name} is {count}, expected 1 to {most}")


def _check_rate(name: str, rate: float, population: str, size: int) -> None:
    if not 0 <= rate <= size:
        raise ConfigurationError(
            f"{name} is {rate:g}, expected 0 to {size}",
            hint=f"they are drawn among {population}, each at most once a day",
        )
