"""`bench stream`: how long after an event its alert can be read, at fixed rates.

The built-in project's job runs on services of its own, deployed as any job is, with a checkpoint
each second. It takes in a history first, which fills its state and warms it up. Then transactions
are sent on a schedule that waits for nothing; the latency of an alert counts from the moment at
which its transaction was meant to be sent. Broker, job, sender and reader share the machine.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from headrace_features.fraud.definitions import transactions
from headrace_orchestration.benchmarks.embedded import Stage, stage
from headrace_orchestration.benchmarks.latency import latencies_ms, percentile
from headrace_orchestration.benchmarks.loaded_job import LoadedJob, load_history
from headrace_orchestration.benchmarks.open_loop import run
from headrace_orchestration.benchmarks.traffic import Event, Traffic
from headrace_streaming.job.config import StateBackend

#: A rate holds if it stays within this.
HOLDS_MS = 100.0
#: A run that sent a smaller share of what was asked for says nothing about the rate.
LEAST_SENT = 0.99
# Compiling goes on for most of a minute at the least rate.
_SETTLE_S = 60.0
_SEARCH_SETTLE_S = 10.0
_PATIENCE_S = 20.0
_STEP = 1.25
_MOST_STEPS = 12
_HALVINGS = 2


@dataclass(frozen=True, slots=True)
class StreamFigures:
    """What was measured at one rate; latencies in milliseconds.

    Attributes:
        rate: transactions per second that were asked for.
        sent_share: which share of them had been sent when the last was due.
        counts: whether that was enough for the figures to say anything.
        p50_ms, p99_ms, p999_ms, most_ms: of the alerts that were certain to come.
        alerts: how many these are; `missing` of them didn't come in time, and count as endless.
        checkpoints: how many were completed during the interval.
        seconds: length of the interval.
        cards: how many have state; state_bytes_per_card is what a checkpoint holds for one in
            the first stage: the view, the keys seen lately, and the key itself; None where
            checkpoints hold changes.
        state_backend: hashmap or rocksdb.
        changelog: whether changes of state are written as they are made.
    """

    rate: float
    sent_share: float
    counts: bool
    p50_ms: float
    p99_ms: float
    p999_ms: float
    most_ms: float
    alerts: int
    missing: int
    checkpoints: int
    seconds: float
    cards: int
    history: int
    state_bytes_per_card: float | None
    state_backend: str
    changelog: bool

    @property
    def holds(self) -> bool:
        """Whether the rate was kept up and answered in time."""
        return self.counts and self.p99_ms <= HOLDS_MS


@dataclass(frozen=True, slots=True)
class Load:
    """What to measure.

    Attributes:
        rates: transactions per second, one after the other.
        cards: how many have state before anything is measured.
        state_backend: where it is kept.
        changelog: whether changes of it are written as they are made.
        seconds: length of the measured interval.
        search: whether the highest rate that holds is looked for too.
    """

    rates: Sequence[float]
    cards: int
    state_backend: StateBackend
    changelog: bool
    seconds: float
    search: bool

    @property
    def transactions(self) -> int:
        """The most that may be needed."""
        rates = [rate * (_SETTLE_S + self.seconds) for rate in self.rates]
        if self.search:
            highest = max(self.rates) * _STEP ** (_MOST_STEPS + 1)
            rates.append(highest * (_SEARCH_SETTLE_S + self.seconds) / (1 - 1 / _STEP))
        return math.ceil(sum(rates))


def measure(home: Path, load: Load, advance: Callable[[str], None]) -> list[StreamFigures]:
    """Measure each rate, and the highest that holds if that is asked for.

    Args:
        home: the folder for all data.
        load: what to measure.
        advance: is told what goes on.

    Raises:
        HeadraceError: the services don't start, the job fails or is too slow for its history.
    """
    with stage(home, advance) as services:
        advance("simulate")
        traffic = Traffic(load.cards, load.transactions)
        job = load_history(services, traffic, load.state_backend, advance, changelog=load.changelog)
        bench = _Bench(services, job, traffic, load, advance)
        figures = [bench.at(rate, _SETTLE_S) for rate in load.rates]
        if load.search:
            figures.extend(bench.search(figures))
        return figures


class _Bench:
    """A job under load, at one rate after the other."""

    def __init__(
        self,
        services: Stage,
        job: LoadedJob,
        traffic: Traffic,
        load: Load,
        advance: Callable[[str], None],
    ) -> None:
        self._services = services
        self._job = job
        self._events: Iterator[Event] = traffic.events()
        self._load = load
        self._advance = advance

    def at(self, rate: float, settle_s: float) -> StreamFigures:
        """Measure a rate, after a while that doesn't count."""
        self._advance(f"encode transactions for {rate:,.0f} a second")
        settling = math.ceil(rate * settle_s)
        wanted = settling + math.ceil(rate * self._load.seconds)
        events = list(islice(self._events, wanted))
        self._advance(f"{rate:,.0f} transactions a second")
        before = self._job.checkpoints()
        loop = run(self._services.kafka, transactions.topic, events, rate, _PATIENCE_S)
        due = {
            event.flagged: loop.schedule.due_ns(number)
            for number, event in enumerate(events)
            if event.flagged is not None and number >= settling
        }
        found, missing = latencies_ms(due, loop.readable_ns)
        sent_share = max(loop.sent - settling, 0) / (len(events) - settling)
        return StreamFigures(
            rate=rate,
            sent_share=sent_share,
            counts=sent_share >= LEAST_SENT,
            p50_ms=percentile(found, 0.5),
            p99_ms=percentile(found, 0.99),
            p999_ms=percentile(found, 0.999),
            most_ms=percentile(found, 1),
            alerts=len(found),
            missing=missing,
            checkpoints=self._job.checkpoints() - before,
            seconds=self._load.seconds,
            cards=self._load.cards,
            history=self._job.history,
            state_bytes_per_card=self._job.bytes_per_card,
            state_backend=self._load.state_backend,
            changelog=self._load.changelog,
        )

    def search(self, known: Sequence[StreamFigures]) -> Iterator[StreamFigures]:
        """Raise the rate by quarters until one doesn't hold, then halve the step."""
        held = max((one.rate for one in known if one.holds), default=0.0)
        failed = min((one.rate for one in known if not one.holds), default=math.inf)
        for _ in range(_MOST_STEPS):
            if math.isfinite(failed):
                break
            yield (one := self.at(held * _STEP, _SEARCH_SETTLE_S))
            held, failed = (one.rate, failed) if one.holds else (held, one.rate)
        for _ in range(_HALVINGS):
            yield (one := self.at((held + failed) / 2, _SEARCH_SETTLE_S))
            held, failed = (one.rate, failed) if one.holds else (held, one.rate)
