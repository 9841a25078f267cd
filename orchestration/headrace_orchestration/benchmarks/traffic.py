"""Traffic for the stream's benchmarks: a history, then transactions of which many are flagged.

Transactions and labels are simulated ones in the order in which they become known, as `headrace
simulate --rate` sends them: their event times are simulated, so that cards are used some times a
day however many transactions a second are sent. In real time 20,000 cards at 2,000 transactions a
second would be used every ten seconds each, which the rules call theft: every one would be flagged.

So that alerts are known beforehand, a share of the transactions is moved to the opposite side of
the earth. Where the card was used a few hours earlier the declared rule `impossible_travel` flags
it, whatever else the card did. Only these are timed; what other rules flag comes besides.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from headrace_batch.simulator import SimulationConfig
from headrace_features.fraud.definitions import transactions
from headrace_orchestration.live_simulation import live_records
from headrace_orchestration.simulation import simulation_config
from headrace_schemas.events import Transaction
from headrace_streaming.kafka.disorder import Sent

_HOUR_MS = 3_600_000
_DAY_MS = 24 * _HOUR_MS
#: More days cost more time and change little: what the longest window can't reach is dropped.
_MOST_HISTORY_DAYS = 30
_MOST_HISTORY = 1_200_000
_CARD_PER_DAY = 2
#: Each card's first use is so long before the simulation.
_OPENED_MS = 12 * _HOUR_MS
#: The opposite side is 20,015 km away; simulated places are at most some 1,300 km apart. At
#: 900 km/h the rest takes 20 hours.
_SURE_MS = 16 * _HOUR_MS
_FLAGGED_SHARE = 0.1


class Event(NamedTuple):
    """A transaction on its way.

    Attributes:
        key: of its record, the card.
        value: the transaction as JSON.
        flagged: its id, if it is certain to be flagged.
    """

    key: bytes
    value: bytes
    flagged: bytes | None


@dataclass(slots=True)
class Traffic:
    """One simulation: first its history, then as many live transactions as are asked for.

    Attributes:
        cards: how many there are; every one is used at least once in the history.
        live: how many transactions follow the history at most.
    """

    cards: int
    live: int
    _records: Iterator[Sent] = field(init=False)
    _home_ms: dict[str, int] = field(init=False, default_factory=dict)
    _chance: random.Random = field(init=False)

    def __post_init__(self) -> None:
        """Begin the simulation."""
        self._chance = random.Random(0)  # noqa: S311 - a simulation
        self._records = live_records(self._config())

    @property
    def history_days(self) -> int:
        """How many days of transactions and labels the history has beside each card's first use."""
        return min(_MOST_HISTORY // (self.cards * _CARD_PER_DAY), _MOST_HISTORY_DAYS)

    def history(self) -> Iterator[Sent]:
        """Each card's first use, then transactions and labels."""
        start_ms = self._config().start_ms
        for record in opening(self.cards, start_ms):
            self._home_ms[record.key] = record.at_ms
            yield record
        end_ms = start_ms + self.history_days * _DAY_MS
        if not self.history_days:
            return
        for record in self._records:
            if record.topic == transactions.topic:
                self._home_ms[record.key] = record.at_ms
            yield record
            if record.at_ms >= end_ms:
                return

    def events(self) -> Iterator[Event]:
        """The transactions after the history, without labels, which come in their own time."""
        for record in self._records:
            if record.topic == transactions.topic:
                yield self._event(record)

    def _event(self, record: Sent) -> Event:
        # None where the card was last used on the other side: two uses there are no journey.
        last_ms = self._home_ms.get(record.key)
        sure = last_ms is not None and record.at_ms - last_ms <= _SURE_MS
        key = record.key.encode()
        if not sure or self._chance.random() >= _FLAGGED_SHARE:
            self._home_ms[record.key] = record.at_ms
            return Event(key, record.value, None)
        del self._home_ms[record.key]
        moved = opposite(transactions.codec.decode(record.value))
        return Event(key, transactions.codec.encode(moved), moved.transaction_id.encode())

    def _config(self) -> SimulationConfig:
        # One day more, since chance decides how many transactions a day has.
        days = self.history_days + self.live // (self.cards * _CARD_PER_DAY) + 2
        return simulation_config(rows=None, cards=self.cards, days=days, start=None, seed=0)


def opening(cards: int, start_ms: int) -> Iterator[Sent]:
    """One transaction of each card, half a day before a simulation starts."""
    for number in range(cards):
        event = Transaction(
            transaction_id=f"opening-{number:09d}",
            card_id=f"card-{number:06d}",
            terminal_id=f"terminal-{number:06d}",
            event_time=start_ms - _OPENED_MS,
            amount_minor=1_000,
            currency="EUR",
            country="DE",
            latitude=50.0,
            longitude=10.0,
            channel="chip",
        )
        value = transactions.codec.encode(event)
        yield Sent(event.event_time, transactions.topic, event.card_id, value)


def opposite(event: Transaction) -> Transaction:
    """The same transaction on the opposite side of the earth."""
    from msgspec.structs import replace

    latitude, longitude = event.latitude or 0.0, event.longitude or 0.0
    return replace(
        event, latitude=-latitude, longitude=longitude - (180 if longitude > 0 else -180)
    )
