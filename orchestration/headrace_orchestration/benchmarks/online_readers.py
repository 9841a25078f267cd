"""Those who read the same rows in turn, each in a process of its own.

Feast remembers what requests mean for one registry in a process: two stores in one would make each
other forget it at every read.
"""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from multiprocessing.connection import Connection
from typing import Any

from headrace_features.online.reader import FeatureReader
from headrace_features.online.stores import open_store
from headrace_features.project import load_project
from headrace_orchestration.benchmarks.published_features import REFERENCES, VIEWS
from headrace_schemas.settings import Settings

Rows = list[dict[str, Any]]
_WARM_UP = 100
_IN_A_TURN = 10


def _headrace(settings: Settings, entities: int) -> Callable[[Rows], object]:
    # Feast takes seconds to import.
    from headrace_features.feast_plugin import repository

    del entities
    repository.apply(settings, load_project(settings))
    store = repository.feature_store(settings)
    return lambda rows: store.get_online_features(REFERENCES, rows, True).to_dict()  # noqa: FBT003 - Feast's


def _feast(settings: Settings, entities: int) -> Callable[[Rows], object]:
    from headrace_orchestration.benchmarks.plain_feast import plain_feast

    store = plain_feast(settings, settings.home / "plain", VIEWS, entities)
    return lambda rows: store.get_online_features(REFERENCES, rows, True).to_dict()  # noqa: FBT003 - Feast's


def _reader(settings: Settings, entities: int) -> Callable[[Rows], object]:
    del entities
    reader = FeatureReader(
        open_store(settings), [view.select(*view.feature_names) for view in VIEWS]
    )
    return lambda rows: [row.to_dict() for row in reader.read(rows)]


_MADE = {"headrace": _headrace, "feast": _feast, "reader": _reader}


@contextmanager
def contenders(settings: Settings, entities: int) -> Iterator[Mapping[str, Connection]]:
    """A process for each, which answers rows with how many nanoseconds they took."""
    context = multiprocessing.get_context("fork")
    with ExitStack() as stack:
        ends = {}
        for name in _MADE:
            here, there = context.Pipe()
            process = context.Process(target=_answer, args=(name, settings, entities, there))
            process.start()
            there.close()
            stack.callback(process.join)
            # Later processes hold this end too: closing it would tell nobody.
            stack.callback(here.send, None)
            ends[name] = here
        for here in ends.values():
            here.recv()
        yield ends


def in_turn(
    readers: Mapping[str, Connection], reads: int, rows: Callable[[], Rows]
) -> dict[str, list[float]]:
    """Milliseconds of each read of each contender, who all read the same rows.

    They take turns of a few reads, in an order that changes: whoever comes first in a turn finds
    the processor's caches full of what others have left there.
    """
    took: dict[str, list[float]] = {name: [] for name in readers}
    names = list(readers)
    for turn in range(-_WARM_UP // _IN_A_TURN, -(-reads // _IN_A_TURN)):
        asked = [rows() for _ in range(_IN_A_TURN)]
        for name in names:
            readers[name].send(asked)
            nanoseconds = readers[name].recv()
            if turn >= 0:
                took[name] += [each / 1e6 for each in nanoseconds]
        names.append(names.pop(0))
    return took


def _answer(name: str, settings: Settings, entities: int, end: Connection) -> None:
    read = _MADE[name](settings, entities)
    end.send("ready")
    while (asked := end.recv()) is not None:
        nanoseconds = []
        for rows in asked:
            began = time.perf_counter_ns()
            read(rows)
            nanoseconds.append(time.perf_counter_ns() - began)
        end.send(nanoseconds)
