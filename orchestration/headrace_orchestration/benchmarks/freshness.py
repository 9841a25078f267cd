"""How long after an event is sent a value that counts it is read through Feast's SDK.

Events are of the present, since values are read as of now. Most are of cards that nobody asks
about; a process reads the counts of a few cards all the time, and notes when it sees each number
first. One card gets a tenth of all events.
"""

from __future__ import annotations

import math
import multiprocessing
import random
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path

from headrace_features.fraud.definitions import transactions
from headrace_features.state.updates import decode_update
from headrace_orchestration.benchmarks.embedded import Stage, stage
from headrace_orchestration.benchmarks.latency import Schedule, percentile
from headrace_orchestration.benchmarks.published_features import BY_CARD
from headrace_schemas.errors import RetryableError
from headrace_schemas.events import Transaction
from headrace_schemas.settings import Settings
from headrace_schemas.topics import FEATURE_UPDATES
from headrace_streaming.kafka.reading import records_now
from headrace_streaming.kafka.sender import producer_config

_FEATURE = BY_CARD.feature_names[0]
_WATCHED = 20
_HOT = 0
_HOT_SHARE = 0.1
#: Of each of the other cards that are watched.
_WATCHED_SHARE = 0.001
_WARM_UP_S = 20.0
_PATIENCE_S = 20.0
_TICK_S = 0.001


@dataclass(frozen=True, slots=True)
class FreshnessFigures:
    """Milliseconds from when an event was meant to be sent to when it was seen in a value.

    Attributes:
        backend: `sqlite` or `redis`.
        rate: events per second.
        events: how many were timed.
        seen_share: of the timed events, how many were seen.
        hot_p50_ms, hot_p99_ms: of the card that gets a tenth of all events.
        bytes_per_event: of changed fields, before the writer leaves out what is changed again.
    """

    backend: str
    rate: float
    events: int
    seen_share: float
    p50_ms: float
    p99_ms: float
    hot_p50_ms: float
    hot_p99_ms: float
    bytes_per_event: float


@dataclass(slots=True)
class _Sent:
    """What was sent of the cards that are watched: when, in their order."""

    total: int = 0
    meant_ns: dict[int, list[int]] = field(
        default_factory=lambda: {number: [] for number in range(_WATCHED)}
    )


def measure(  # noqa: PLR0913, PLR0917 - what is measured
    home: Path,
    backend: str,
    rate: float,
    cards: int,
    seconds: float,
    advance: Callable[[str], None],
) -> FreshnessFigures:
    """Run broker, job, writer and store, and time events at a rate.

    Args:
        home: the folder for all data; the benchmark's lies below it.
        backend: `sqlite` or `redis`.
        rate: events per second.
        cards: how many there are.
        seconds: how long events are timed, after a warm-up.
        advance: is told what goes on.

    Raises:
        RetryableError: nothing of what is sent is ever read.
    """
    environ = {
        "HEADRACE_ONLINE_TYPE": backend,
        "HEADRACE_ONLINE_TIMEOUT": "10s",
        "HEADRACE_PROJECT_DEFINITIONS": "headrace_orchestration.benchmarks.published_features",
    }
    with stage(home, advance, environ, serving=True) as services:
        _apply(services)
        # Before any client of Kafka is made, which has threads that don't survive a fork.
        context = multiprocessing.get_context("fork")
        here, there = context.Pipe()
        watcher = context.Process(target=_watch, args=(services.settings, there), daemon=True)
        watcher.start()
        services.deploy()
        advance(f"{rate:,.0f} events a second")
        sent = _send(services.kafka, rate, cards, seconds)
        here.send({number: len(times) for number, times in sent.meant_ns.items()})
        if not here.poll(_PATIENCE_S + 10):
            raise RetryableError("the process that reads values does not answer")
        seen: dict[int, list[tuple[int, int]]] = here.recv()
        watcher.join()
        size = _update_bytes(services.kafka) / max(sent.total, 1)
        services.stop()
    return _figures(backend, rate, sent, seen, size)


def _apply(services: Stage) -> None:
    # Feast takes seconds to import.
    from headrace_features.feast_plugin import repository

    repository.apply(services.settings, services.project)


def _send(kafka: Mapping[str, str], rate: float, cards: int, seconds: float) -> _Sent:
    """Send events on a schedule whatever becomes of them."""
    from confluent_kafka import Producer

    producer = Producer(producer_config(kafka))
    chance = random.Random(5)  # noqa: S311 - a benchmark's events
    count = int(rate * (seconds + _WARM_UP_S))
    schedule = Schedule(time.monotonic_ns() + 100_000_000, rate)
    # What the wall clock says is what event times are; the schedule's clock is another one.
    clocks_ns = time.time_ns() - time.monotonic_ns()
    sent = _Sent()
    while sent.total < count:
        due = min(schedule.count_due(time.monotonic_ns()), count)
        for number in range(sent.total, due):
            meant_ns = schedule.due_ns(number)
            card = _card(chance, cards)
            if card < _WATCHED:
                sent.meant_ns[card].append(meant_ns)
            event = _event(card, number, (meant_ns + clocks_ns) // 1_000_000)
            producer.produce(
                transactions.topic,
                transactions.codec.encode(event),
                _key(card).encode(),
                timestamp=event.event_time,
            )
        sent.total = max(due, sent.total)
        producer.poll(0)
        time.sleep(_TICK_S)
    producer.flush(_PATIENCE_S)
    return sent


def _card(chance: random.Random, cards: int) -> int:
    draw = chance.random()
    if draw < _HOT_SHARE:
        return _HOT
    if draw < _HOT_SHARE + _WATCHED_SHARE * (_WATCHED - 1):
        return chance.randrange(1, _WATCHED)
    return chance.randrange(_WATCHED, cards)


def _event(card: int, number: int, time_ms: int) -> Transaction:
    return Transaction(
        transaction_id=f"tx-{number:010d}",
        card_id=_key(card),
        terminal_id=f"terminal-{number % 1_000:06d}",
        event_time=time_ms,
        amount_minor=100 + number % 10_000,
        currency="EUR",
        country="DE",
        latitude=50.0,
        longitude=10.0,
        channel="chip",
    )


def _key(card: int) -> str:
    return f"card-{card:06d}"


def _watch(settings: Settings, end: Connection) -> None:
    """Read counts all the time; give for each card when each number was seen first."""
    from headrace_features.feast_plugin import repository

    store = repository.feature_store(settings)
    reference = f"{BY_CARD.name}:{_FEATURE}"
    rows = [{BY_CARD.entity.join_key: _key(card)} for card in range(_WATCHED)]
    seen: dict[int, list[tuple[int, int]]] = {card: [] for card in range(_WATCHED)}
    counts = [0] * _WATCHED
    wanted: dict[int, int] | None = None
    deadline = 0.0
    while True:
        try:
            found = store.get_online_features([reference], rows).to_dict()[_FEATURE]
        except RetryableError:
            # The store comes with the services.
            time.sleep(_TICK_S)
            continue
        now_ns = time.monotonic_ns()
        for card, count in enumerate(found):
            if count is not None and count > counts[card]:
                counts[card] = count
                seen[card].append((count, now_ns))
        if wanted is None and end.poll(0):
            wanted = end.recv()
            deadline = time.monotonic() + _PATIENCE_S
        if wanted is not None and (
            all(counts[card] >= count for card, count in wanted.items())
            or time.monotonic() > deadline
        ):
            end.send(seen)
            return
        time.sleep(_TICK_S)


def _update_bytes(kafka: Mapping[str, str]) -> int:
    """The bytes of all fields that were changed, with their names."""
    size = 0
    for messages in records_now(kafka, FEATURE_UPDATES):
        for message in messages:
            update = decode_update(message.value() or b"")
            size += len(update.field) + len(update.content)
    return size


def _figures(
    backend: str, rate: float, sent: _Sent, seen: Mapping[int, list[tuple[int, int]]], size: float
) -> FreshnessFigures:
    warm = int(rate * _WARM_UP_S) / rate * 1e9
    began_ns = min(times[0] for times in sent.meant_ns.values() if times)
    milliseconds: dict[bool, list[float]] = {True: [], False: []}
    timed = 0
    for card, times in sent.meant_ns.items():
        steps = iter(seen[card])
        step = next(steps, None)
        for number, meant_ns in enumerate(times, 1):
            while step is not None and step[0] < number:
                step = next(steps, None)
            if meant_ns - began_ns < warm:
                continue
            timed += 1
            # What was never seen is late without end, so that losing it never looks quick.
            took_ms = math.inf if step is None else (step[1] - meant_ns) / 1e6
            milliseconds[card == _HOT].append(took_ms)
    seen_at_all = sum(map(math.isfinite, (*milliseconds[True], *milliseconds[False])))
    if not seen_at_all:
        raise RetryableError("nothing of what was sent was ever read", hint="see headrace doctor")
    return FreshnessFigures(
        backend=backend,
        rate=rate,
        events=timed,
        seen_share=seen_at_all / timed,
        p50_ms=percentile(sorted(milliseconds[False]), 0.5),
        p99_ms=percentile(sorted(milliseconds[False]), 0.99),
        hot_p50_ms=percentile(sorted(milliseconds[True]), 0.5),
        hot_p99_ms=percentile(sorted(milliseconds[True]), 0.99),
        bytes_per_event=size,
    )
