"""How long it takes to make an online store anew from the lake, and how large it gets."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from headrace_batch.ingest.run import ingest
from headrace_batch.simulator import config_for_rows
from headrace_features.embedded import Service
from headrace_features.online.redis_store import RedisStateStore
from headrace_features.online.sqlite_store import SqliteStateStore
from headrace_features.online.stores import open_store
from headrace_features.project import load_project
from headrace_orchestration.rebuilding import rebuild
from headrace_orchestration.simulation import write_simulation
from headrace_schemas.settings import Settings, load
from headrace_streaming.services import control


@dataclass(frozen=True, slots=True)
class RebuildFigures:
    """What it took for the views of the built-in project.

    Attributes:
        backend: `sqlite` or `redis`.
        events: in the source of each of the two views.
        entities: of both views.
        fields: of both batch layers.
        seconds: all of it.
        seconds_per_million: of entities like these.
        bytes_per_entity: of the file, or of the server's memory.
    """

    backend: str
    events: int
    entities: int
    fields: int
    seconds: float
    seconds_per_million: float
    bytes_per_entity: float


def measure(
    backends: Sequence[str], events: int, advance: Callable[[str], None]
) -> list[RebuildFigures]:
    """Generate, ingest, and rebuild on each backend.

    Args:
        backends: `sqlite`, `redis`.
        events: how many transactions, each with a label.
        advance: is told what goes on.

    Raises:
        HeadraceError: services don't start.
    """
    home = Path(tempfile.mkdtemp(prefix="headrace-bench-"))
    wanted = {Service.KAFKA, Service.REDIS} if "redis" in backends else {Service.KAFKA}
    try:
        advance("generate")
        made = write_simulation(home / "simulated", config_for_rows(events), lambda _: None)
        advance("ingest")
        settings = load(home, {"HEADRACE_HOME": str(home)})
        project = load_project(settings)
        for file, source in (
            (made.transactions, "transactions"),
            (made.labels, "transaction_labels"),
        ):
            ingest(settings, project, str(file), source=source)
        shutil.rmtree(made.transactions.parent)
        control.up(home, os.environ, advance, wanted=wanted)
        return [_measured(home, backend, events, advance) for backend in backends]
    finally:
        control.down(home)
        shutil.rmtree(home, ignore_errors=True)


def _measured(
    home: Path, backend: str, events: int, advance: Callable[[str], None]
) -> RebuildFigures:
    environ = {"HOME": str(home), "HEADRACE_HOME": str(home), "HEADRACE_ONLINE_TYPE": backend}
    settings = load(home, environ)

    @contextmanager
    def step(label: str) -> Iterator[Callable[[int], None]]:
        advance(f"{backend}: {label}")
        yield lambda _: None

    report = rebuild(settings, load_project(settings), None, advance, step)
    return RebuildFigures(
        backend=backend,
        events=events,
        entities=report.entities,
        fields=report.fields,
        seconds=report.seconds,
        seconds_per_million=report.seconds / report.entities * 1_000_000,
        bytes_per_entity=_size(settings) / report.entities,
    )


def _size(settings: Settings) -> int:
    store = open_store(settings)
    if isinstance(store, RedisStateStore):
        with store.connection.commands() as client:
            return int(client.info("memory")["used_memory"])
    if isinstance(store, SqliteStateStore):
        return sum(file.stat().st_size for file in store.path.parent.glob(f"{store.path.name}*"))
    raise TypeError(f"nobody knows how large {store} is")
