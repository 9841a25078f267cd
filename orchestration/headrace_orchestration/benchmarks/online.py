"""How long reads take, beside plain Feast on the same backend, in turn with it."""

from __future__ import annotations

import os
import random
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from headrace_features.embedded import Service
from headrace_features.online.stores import open_store
from headrace_orchestration.benchmarks.latency import percentile
from headrace_orchestration.benchmarks.online_readers import contenders, in_turn
from headrace_orchestration.benchmarks.online_state import entity, fill
from headrace_orchestration.benchmarks.published_features import VIEWS
from headrace_schemas.settings import Settings, load
from headrace_streaming.services import control

_MANY = 100
#: Events of all cards, or all terminals, together.
_MOST_EVENTS = 2_000_000


@dataclass(frozen=True, slots=True)
class OnlineFigures:
    """Milliseconds of reads of 12 features, dictionary included, from one backend.

    Those of 100 rows are NaN where there are fewer entities.

    Attributes:
        backend: `sqlite` or `redis`.
        events: of an entity in its longest window.
        bytes_per_entity: of the fields of one entity in one view.
    """

    backend: str
    events: int
    bytes_per_entity: float
    rows1_p50_ms: float
    rows1_p99_ms: float
    rows100_p50_ms: float
    feast_rows1_p50_ms: float
    feast_rows1_p99_ms: float
    feast_rows100_p50_ms: float
    reader_rows1_p50_ms: float
    reader_rows1_p99_ms: float
    reader_rows100_p50_ms: float


def measure(
    backends: Sequence[str],
    events: Sequence[int],
    entities: int,
    reads: int,
    advance: Callable[[str], None],
) -> list[OnlineFigures]:
    """Measure each backend with each number of events.

    Args:
        backends: `sqlite`, `redis`.
        events: of an entity in its longest window.
        entities: cards and as many terminals; fewer where they have very many events.
        reads: of one row, each by all contenders; a tenth as many of 100 rows.
        advance: is told what goes on.
    """
    figures = []
    for backend in backends:
        for count in events:
            with empty_store(backend, advance) as (settings, _):
                kept = min(entities, max(_MOST_EVENTS // count, 1))
                advance(f"{backend}, {count} events: state of {kept} cards and terminals")
                figures.append(_measured(settings, backend, count, kept, reads, advance))
    return figures


def _measured(  # noqa: PLR0913, PLR0917 - what is measured
    settings: Settings,
    backend: str,
    events: int,
    entities: int,
    reads: int,
    advance: Callable[[str], None],
) -> OnlineFigures:
    written = fill(open_store(settings), entities=entities, events=events)
    chance = random.Random(3)  # noqa: S311 - which rows a benchmark reads
    with contenders(settings, entities) as readers:
        advance(f"{backend}, {events} events: one row")
        one = in_turn(readers, reads, lambda: [_row(chance, entities)])
        advance(f"{backend}, {events} events: {_MANY} rows")
        # Rows that are alike are read once.
        number = max(reads // 10, 1) if entities >= _MANY else 0
        many = in_turn(readers, number, lambda: [_row(chance, entities) for _ in range(_MANY)])
    return OnlineFigures(
        backend=backend,
        events=events,
        bytes_per_entity=written / entities / len(VIEWS),
        rows1_p50_ms=percentile(sorted(one["headrace"]), 0.5),
        rows1_p99_ms=percentile(sorted(one["headrace"]), 0.99),
        rows100_p50_ms=percentile(sorted(many["headrace"]), 0.5),
        feast_rows1_p50_ms=percentile(sorted(one["feast"]), 0.5),
        feast_rows1_p99_ms=percentile(sorted(one["feast"]), 0.99),
        feast_rows100_p50_ms=percentile(sorted(many["feast"]), 0.5),
        reader_rows1_p50_ms=percentile(sorted(one["reader"]), 0.5),
        reader_rows1_p99_ms=percentile(sorted(one["reader"]), 0.99),
        reader_rows100_p50_ms=percentile(sorted(many["reader"]), 0.5),
    )


def _row(chance: random.Random, entities: int) -> dict[str, Any]:
    return {view.entity.join_key: entity(chance.randrange(entities)) for view in VIEWS}


@contextmanager
def empty_store(
    backend: str, advance: Callable[[str], None]
) -> Iterator[tuple[Settings, Mapping[str, str]]]:
    """Settings, also as variables, with an empty store of a kind in a temporary home."""
    home = Path(tempfile.mkdtemp(prefix="headrace-bench-"))
    environ = {
        "HOME": os.environ.get("HOME", ""),
        "HEADRACE_HOME": str(home),
        "HEADRACE_ONLINE_TYPE": backend,
        "HEADRACE_ONLINE_TIMEOUT": "10s",
        "HEADRACE_PROJECT_DEFINITIONS": "headrace_orchestration.benchmarks.published_features",
    }
    redis = {Service.REDIS} if backend == "redis" else set()
    try:
        if redis:
            control.up(home, os.environ, advance, wanted=redis)
        yield load(home, environ), environ
    finally:
        if redis:
            control.down(home)
        shutil.rmtree(home, ignore_errors=True)
