"""Records runs: that they begin and end, what they read and wrote, and why they failed.

with recorded(settings, [Work("backfill.card_activity", reads, writes)]) as runs:
    ...
    runs.end("backfill.card_activity", lambda: Outcome(reads, writes))
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from headrace_features.lineage.told import Outcome, Told, Work

if TYPE_CHECKING:
    from openlineage.client.event_v2 import RunEvent, RunState

    from headrace_features.lineage.events import Parents, RunId
    from headrace_schemas.settings import Settings

#: The run that is under way, for those that it starts.
_CURRENT: ContextVar[RunId | None] = ContextVar("current", default=None)


class Runs:
    """Runs that are under way; what they have done is looked up once they have ended well."""

    def __init__(self) -> None:
        self.ended: dict[str, Callable[[], Outcome]] = {}

    def end(self, job: str, outcome: Callable[[], Outcome]) -> None:
        """Note how to look up what a run has read and written.

        Args:
            job: whose run it is.
            outcome: tells that. Whatever it raises is a warning.
        """
        self.ended[job] = outcome


@contextmanager
def recorded(
    settings: Settings,
    works: Iterable[Work],
    *,
    environ: Mapping[str, str] | None = None,
    now: Callable[[], datetime] = lambda: datetime.now(UTC),
) -> Iterator[Runs]:
    """Record what is done inside the block as a run of each of some jobs.

    What can't be recorded is a warning of one line: nothing of it fails or holds up the block.

    Args:
        settings: where it is told.
        works: what is about to be done.
        environ: the variables that may name the run above; None are those of the process.
        now: the present time.
    """
    environ = os.environ if environ is None else environ
    runs = Runs()
    if environ.get("OPENLINEAGE_DISABLED", "").lower() == "true":
        yield runs
        return
    recorder = _Recorder(settings, list(works), environ, now)
    token = _CURRENT.set(recorder.first)
    try:
        yield runs
    except BaseException as error:
        recorder.failed(error)
        raise
    else:
        recorder.completed(runs.ended)
    finally:
        _CURRENT.reset(token)


def above(environ: Mapping[str, str]) -> Parents | None:
    """The run under way in this process, or else the one above the process, if there is any."""
    from headrace_features.lineage.events import Parents, parents_in

    outside = parents_in(environ)
    current = _CURRENT.get()
    if current is None:
        return outside
    return Parents(current, None if outside is None else (outside.root or outside.parent))


class _Recorder:
    """Tells what becomes of some works."""

    def __init__(
        self,
        settings: Settings,
        works: list[Work],
        environ: Mapping[str, str],
        now: Callable[[], datetime],
    ) -> None:
        self._settings = settings
        self._works = works
        self._now = now
        self._ids: dict[str, RunId] = {}
        self._parents: Parents | None = None
        with _warning():
            self._begin(environ)

    @property
    def first(self) -> RunId | None:
        """The run that others are started by."""
        return next(iter(self._ids.values()), _CURRENT.get())

    def _begin(self, environ: Mapping[str, str]) -> None:
        from openlineage.client.event_v2 import RunState

        from headrace_features.lineage.events import RunId

        self._parents = above(environ)
        namespace, project = self._settings.lineage.namespace, self._settings.project.name
        self._ids = {
            work.job: RunId(namespace, f"{project}.{work.job}", str(uuid4()))
            for work in self._works
        }
        for work in self._works:
            self._tell(RunState.START, work, _named(work))

    def completed(self, ended: Mapping[str, Callable[[], Outcome]]) -> None:
        """Tell what each has done."""
        for work in self._works:
            with _warning():
                from openlineage.client.event_v2 import RunState

                outcome = Outcome(work.reads, work.writes)
                if work.job in ended:
                    outcome = ended[work.job]()
                self._tell(RunState.COMPLETE, work, outcome)
        _await_sent(self._settings)

    def failed(self, error: BaseException) -> None:
        """Tell why none has come to its end."""
        with _warning():
            from openlineage.client.event_v2 import RunState

            # What isn't an Exception, such as Ctrl-C, is somebody's will.
            state = RunState.FAIL if isinstance(error, Exception) else RunState.ABORT
            for work in self._works:
                self._tell(state, work, _named(work), _first_line(error))
        _await_sent(self._settings)

    def _tell(
        self, state: RunState, work: Work, outcome: Outcome, error: str | None = None
    ) -> None:
        from headrace_features.lineage.events import run_event

        if work.job not in self._ids:
            return
        time = self._now()
        run = self._ids[work.job]
        event = run_event(state, time, run, work, outcome, parents=self._parents, error=error)
        _hand_on(self._settings, event, time)


def tell(
    settings: Settings,
    work: Callable[[], Work],
    run: str,
    *,
    ends: bool = False,
    now: Callable[[], datetime] = lambda: datetime.now(UTC),
) -> None:
    """Tell that something began, or has ended, which goes on by itself in between.

    Args:
        settings: where it is told.
        work: tells what it does. Whatever it raises is a warning.
        run: its id, a UUID: the same at both times.
        ends: whether it has ended.
        now: the present time.
    """
    if os.environ.get("OPENLINEAGE_DISABLED", "").lower() == "true":
        return
    with _warning():
        from openlineage.client.event_v2 import RunState

        from headrace_features.lineage.events import RunId, run_event

        time, told = now(), work()
        event = run_event(
            RunState.COMPLETE if ends else RunState.START,
            time,
            RunId(settings.lineage.namespace, f"{settings.project.name}.{told.job}", run),
            told,
            Outcome(told.reads, told.writes),
            parents=above(os.environ),
        )
        _hand_on(settings, event, time)
    _await_sent(settings)


def _hand_on(settings: Settings, event: RunEvent, time: datetime) -> None:
    """Write an event down, and begin to send it."""
    from headrace_features.lineage import sinks

    with _warning():
        sinks.write(settings.lineage, event, time)
    sinks.send(settings.lineage, event)


def _await_sent(settings: Settings) -> None:
    """Wait until what was handed on is sent, and warn of what isn't."""
    with _warning():
        from headrace_features.lineage import sinks

        problem = sinks.sent(settings.lineage)
        if problem is not None:
            raise OSError(problem)


def _named(work: Work) -> Outcome:
    """What a run is about, without what only counts once it has done it."""
    reads, writes = ([Told(one.place) for one in side] for side in (work.reads, work.writes))
    return Outcome(tuple(reads), tuple(writes))


def _first_line(error: BaseException) -> str:
    """What went wrong, as the command would say it."""
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__


@contextmanager
def _warning() -> Iterator[Any]:
    """Have whatever goes wrong inside the block be a warning of one line."""
    try:
        yield
    except Exception as error:  # noqa: BLE001 - a run is worth more than what is told of it
        import logging

        told = " ".join(str(error).split()) or type(error).__name__
        logging.getLogger("headrace.lineage").warning("lineage is not recorded: %s", told)
