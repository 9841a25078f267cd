"""One writer from its beginning to its end: it waits for what it needs, writes, and tells."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from threading import Event, Thread
from typing import TYPE_CHECKING

from msgspec.structs import replace

from headrace_features.online.stores import open_store, store_place
from headrace_schemas.errors import HeadraceError, RetryableError
from headrace_streaming.kafka.clients import kafka_config
from headrace_streaming.kafka.topics import existing_topics, updates_in
from headrace_streaming.writer.changes import DeclaredViews
from headrace_streaming.writer.loop import WriterLoop, now_ms
from headrace_streaming.writer.patience import Patience
from headrace_streaming.writer.places import has_all
from headrace_streaming.writer.status import WriterStatus
from headrace_streaming.writer.watch import CoverageWatch, OtherBrokerError

if TYPE_CHECKING:
    from headrace_features.online.store import StateStore
    from headrace_features.project import Project
    from headrace_schemas.settings import Settings

_LOOK_S = 1.0
_LOOK_SOON_S = 0.1


@dataclass(frozen=True, slots=True)
class WriterReport:
    """What a writer has done.

    Attributes:
        updates: how many it has written.
        refused: of those, for how many the store had newer content.
        undeclared: how many it has passed over, as the project has no such view.
        unreadable: how many it couldn't read.
        seconds: how long it ran.
    """

    updates: int
    refused: int
    undeclared: int
    unreadable: int
    seconds: float


def run_writer(  # noqa: PLR0913 - what differs between its callers
    settings: Settings,
    project: Project,
    stop: Event,
    told: Callable[[str], None],
    *,
    shown: Callable[[WriterStatus], None] = lambda _: None,
    upto: Mapping[int, int] | None = None,
) -> WriterReport:
    """Write the updates of a project into its online store until it is told to end.

    Args:
        settings: which broker, which store.
        project: whose views.
        stop: ends it.
        told: takes news, a line each.
        shown: takes how it is doing, about once a second.
        upto: by partition the offset at which it ends by itself, once the store has all before it
            and knows since when it is complete.

    Raises:
        ConfigurationError: broker or store can't be used at all, or don't belong together.
    """
    began = time.monotonic()
    views = project.views.values()
    declared = DeclaredViews(views)
    keys = tuple(sorted(declared.keys))
    waiting = WriterStatus(pid=os.getpid(), at_ms=0, views=keys, store=store_place(settings))
    config = _awaited(settings, updates_in(project), stop, told, shown, waiting)
    if config is None:
        return WriterReport(0, 0, 0, 0, time.monotonic() - began)
    store = cache(lambda: open_store(settings, project.namespace))
    watch = CoverageWatch(config, project)
    loop = WriterLoop(
        config,
        project,
        declared,
        store,
        told,
        stop,
        emptied=watch.again,
    )
    ended = Event()
    failed: list[BaseException] = []

    def show(rate: float) -> None:
        shown(_status(waiting, loop, rate))

    def attend() -> None:
        try:
            _attend(loop, watch, store, stop, ended, told, show, upto)
        except BaseException as error:  # noqa: BLE001 - raised where somebody waits for it
            failed.append(error)
            stop.set()

    beside = Thread(target=attend, name="attend")
    beside.start()
    try:
        loop.run()
    finally:
        ended.set()
        beside.join()
        watch.close()
    if failed:
        raise failed[0]
    counts = loop.counts
    return WriterReport(
        counts.updates,
        counts.refused,
        counts.undeclared,
        counts.unreadable,
        time.monotonic() - began,
    )


def _awaited(  # noqa: PLR0913, PLR0917 - what it waits for, and who hears of it
    settings: Settings,
    topic: str,
    stop: Event,
    told: Callable[[str], None],
    shown: Callable[[WriterStatus], None],
    waiting: WriterStatus,
) -> dict[str, str] | None:
    """How the broker is reached, once it has the topic; None if it is told to end before."""
    patience = Patience(told)
    while not stop.is_set():
        try:
            config = kafka_config(settings)
            if topic in existing_topics(config):
                patience.succeeded(f"{config['bootstrap.servers']} has {topic} now")
                return config
            # That is no trouble: the topics of a project are made after its services run.
            shown(replace(waiting, at_ms=now_ms()))
            problem = f"there is no topic {topic} yet"
        except RetryableError as error:
            problem = str(error)
            shown(replace(waiting, at_ms=now_ms(), problem=problem))
        stop.wait(patience.failed(problem))
    return None


def _attend(  # noqa: PLR0913, PLR0917 - a thread's
    loop: WriterLoop,
    watch: CoverageWatch,
    store: Callable[[], StateStore],
    stop: Event,
    ended: Event,
    told: Callable[[str], None],
    shown: Callable[[float], None],
    upto: Mapping[int, int] | None,
) -> None:
    """Keep coverage up to date and show how the writing goes, until it has ended."""
    patience = Patience(told)
    before = time.monotonic(), 0
    while True:
        try:
            # Before, progress may be that of a writer which knew of less.
            if loop.included.wait(_LOOK_S):
                written = upto is not None and has_all(store().progress(), upto)
                # What was announced before is waited for once.
                watch.look(store, patience_s=_LOOK_S)
                patience.succeeded("since when views are complete is known again")
                if written and watch.done:
                    stop.set()
        except OtherBrokerError:
            raise
        except HeadraceError as error:
            # Also what would end the writing: that has the same trouble, or can go on without.
            patience.failed(f"since when views are complete can't be told: {error}")
        now = time.monotonic(), loop.counts.updates
        try:
            shown((now[1] - before[1]) / max(now[0] - before[0], _LOOK_SOON_S))
        except OSError as error:
            # A disk that is full keeps nobody from writing to a store elsewhere.
            patience.failed(f"how the writing goes can't be shown: {error}")
        before = now
        if ended.wait(_LOOK_S if upto is None else _LOOK_SOON_S):
            return


def _status(waiting: WriterStatus, loop: WriterLoop, rate: float) -> WriterStatus:
    counts = loop.counts
    return replace(
        waiting,
        at_ms=loop.beaten_ms,
        problem=loop.problem,
        partitions=loop.partitions,
        updates=counts.updates,
        refused=counts.refused,
        undeclared=counts.undeclared,
        unreadable=counts.unreadable,
        lag=loop.lag,
        rate=rate,
    )
