"""How many requests a second feature servers bear, beside plain Feast's on the same backend."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from urllib.error import URLError

from headrace_features.online.stores import open_store
from headrace_features.project import load_project
from headrace_orchestration.benchmarks.http_load import Held, highest, measure, request
from headrace_orchestration.benchmarks.online import empty_store
from headrace_orchestration.benchmarks.online_state import entity, fill
from headrace_orchestration.benchmarks.published_features import REFERENCES, VIEWS
from headrace_schemas.errors import RetryableError
from headrace_schemas.settings import Settings
from headrace_streaming.services.embedded import free_ports

_PATIENCE_S = 60.0
_FIRST_RATE = 100.0

#: The p99 up to which a rate counts.
MOST_MS = 20.0


@dataclass(frozen=True, slots=True)
class ServeFigures:
    """The highest rates of requests for 12 features of one row with a p99 within 20 ms.

    Attributes:
        backend: `sqlite` or `redis`.
        headrace, feast: `headrace serve`, and `feast serve` on the plain store, of one worker.
    """

    backend: str
    headrace: Held
    feast: Held


def measure_servers(
    backends: Sequence[str],
    events: int,
    entities: int,
    seconds: float,
    advance: Callable[[str], None],
) -> list[ServeFigures]:
    """Measure each backend.

    Args:
        backends: `sqlite`, `redis`.
        events: of an entity in its longest window.
        entities: cards and as many terminals.
        seconds: of each rate.
        advance: is told what goes on.

    Raises:
        RetryableError: a server doesn't start.
    """
    figures = []
    for backend in backends:
        with empty_store(backend, advance) as (settings, environ):
            advance(f"{backend}: state of {entities} cards and terminals")
            fill(open_store(settings), entities=entities, events=events)
            found = {}
            for name, serving in (("headrace", _headrace), ("feast", _feast)):
                with serving(settings, environ, entities) as port:
                    told = partial(_tell, advance, f"{backend}, {name}")
                    found[name] = _highest(port, entities, seconds, told)
            figures.append(ServeFigures(backend, **found))
    return figures


def _highest(port: int, entities: int, seconds: float, told: Callable[[float], None]) -> Held:
    def at(rate: float) -> Held:
        told(rate)
        return measure(port, lambda: _request(entities), rate, seconds)

    return highest(at, _FIRST_RATE, MOST_MS)


def _tell(advance: Callable[[str], None], what: str, rate: float) -> None:
    advance(f"{what}: {rate:,.0f} requests a second")


def _request(entities: int) -> bytes:
    keys = {
        view.entity.join_key: [entity(random.randrange(entities))]  # noqa: S311 - which rows
        for view in VIEWS
    }
    body = {"features": REFERENCES, "entities": keys, "full_feature_names": True}
    return request("/get-online-features", json.dumps(body).encode())


@contextmanager
def _headrace(settings: Settings, environ: Mapping[str, str], entities: int) -> Iterator[int]:
    from headrace_features.feast_plugin import repository

    del entities
    repository.apply(settings, load_project(settings))
    with _server(("headrace", "serve"), settings.home, environ) as port:
        yield port


@contextmanager
def _feast(settings: Settings, environ: Mapping[str, str], entities: int) -> Iterator[int]:
    from headrace_orchestration.benchmarks.plain_feast import plain_feast

    folder = settings.home / "plain"
    plain_feast(settings, folder, VIEWS, entities)
    # By default a worker is replaced after a thousand requests, those it is at are lost.
    command = ("feast", "-c", str(folder), "serve", "--no-access-log", "--max-requests", "0")
    with _server(command, settings.home, environ) as port:
        yield port


@contextmanager
def _server(command: tuple[str, ...], home: Path, environ: Mapping[str, str]) -> Iterator[int]:
    """A server that answers, on a free port; it is ended afterwards."""
    (port,) = free_ports(["http"], ()).values()
    name, *arguments = command
    log = home / f"{name}.log"
    with log.open("wb") as out:
        process = subprocess.Popen(  # noqa: S603 - our own command
            [str(Path(sys.executable).with_name(name)), *arguments, "--port", str(port)],
            env={**os.environ, **environ},
            cwd=home,
            stdout=out,
            stderr=out,
        )
    try:
        _until_healthy(port, process, log)
        yield port
    finally:
        process.terminate()
        process.wait(_PATIENCE_S)


def _until_healthy(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + _PATIENCE_S
    while process.poll() is None and time.monotonic() < deadline:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/health"):
                return
        except (URLError, ConnectionError):
            time.sleep(0.1)
    told = log.read_text(errors="replace").strip().splitlines()
    raise RetryableError(f"the server didn't start: {told[-1] if told else 'it says nothing'}")
