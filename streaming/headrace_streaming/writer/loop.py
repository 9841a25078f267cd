"""Reads updates and writes them into the store, until it is told to end."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from threading import Event
from typing import TYPE_CHECKING, Any, TypeVar

from headrace_features.online.store import Change, Progress, StateStore, Written
from headrace_schemas.errors import RetryableError, UnsupportedError
from headrace_streaming.kafka.topics import updates_in
from headrace_streaming.writer.batches import Limits, collect
from headrace_streaming.writer.changes import DeclaredViews, OvertakenError
from headrace_streaming.writer.membership import Membership
from headrace_streaming.writer.patience import Patience
from headrace_streaming.writer.places import Place, Read

if TYPE_CHECKING:
    from headrace_features.project import Project

_T = TypeVar("_T")
#: How long nothing is waited for, so that an end is heard.
_IDLE_S = 0.1
#: How often the store is told that all is there, the broker asked for ends and told offsets.
_BEAT_S = 1.0


@dataclass(slots=True)
class Counts:
    """What a writer has done since it began.

    Attributes:
        updates: read and taken in by the store, or refused by it.
        refused: of those, for which the store had newer content.
        undeclared: passed over, as no view of the project has their name, version and meaning.
        unreadable: passed over, as they can't be read.
    """

    updates: int = 0
    refused: int = 0
    undeclared: int = 0
    unreadable: int = 0


class WriterLoop:
    """The writing of one process; for one thread, others may look at its fields."""

    def __init__(  # noqa: PLR0913, PLR0917 - what it stands between
        self,
        config: Mapping[str, Any],
        project: Project,
        views: DeclaredViews,
        store: Callable[[], StateStore],
        told: Callable[[str], None],
        stop: Event,
        *,
        emptied: Callable[[], None] = lambda: None,
        limits: Limits | None = None,
    ) -> None:
        """Prepare it; `run` does the work.

        Args:
            config: of Kafka's clients.
            project: whose updates.
            views: its views.
            store: opens the store, or gives the one that is open.
            told: takes news, a line each.
            stop: ends it.
            emptied: is called when the store turns out to be somewhere else than it was left.
            limits: of batches.
        """
        self.counts = Counts()
        self.beaten_ms = now_ms()
        self._views = views
        self._store = store
        self._told = told
        self._stop = stop
        self._emptied = emptied
        self._limits = limits or Limits()
        self._patience = Patience(told)
        #: Set once the store holds every update of all our views, or has forgotten its progress.
        self.included = Event()
        # Of those since the last beat how many, and the first.
        self._unread = 0
        self._unread_first = ""
        self._topic = updates_in(project)
        self._member = Membership(config, project, self._known, told)

    @property
    def problem(self) -> str | None:
        """What keeps it from writing; None if nothing does."""
        return self._patience.problem

    @property
    def lag(self) -> int | None:
        """How many records are left to write here; None while that isn't known."""
        lags = [place.lag for place in self._member.places.copy().values()]
        return sum(lag for lag in lags if lag is not None) if lags else None

    @property
    def partitions(self) -> tuple[int, ...]:
        """The partitions that are written here."""
        return tuple(sorted(self._member.places.copy()))

    def run(self) -> None:
        """Write until it is told to end; what was begun is then written, or left for the next.

        Raises:
            OvertakenError: a writer with other definitions has begun.
            ConfigurationError: store or broker can't be used at all.
        """
        beat = 0.0
        try:
            self._include()
            self.included.set()
            while not self._stop.is_set():
                self.beaten_ms = now_ms()
                if self._member.misplaced:
                    self._replace()
                batch = collect(self._member.poll, self._limits, time.monotonic, _IDLE_S)
                if batch:
                    self._write(batch)
                if time.monotonic() >= beat:
                    self._beat()
                    beat = time.monotonic() + _BEAT_S
        finally:
            self._tell_unread()
            self._member.close()

    def _include(self) -> None:
        """Have the store hold what writers have passed over that didn't know of all our views."""
        if self._patiently(lambda: self._store().include(self._views.keys)):
            self._told("the store has come here without some of the views: all is read again")

    def _known(self) -> Mapping[int, Progress] | None:
        """How far the store has come; None if it doesn't answer now."""
        try:
            return self._store().progress()
        except RetryableError:
            return None

    def _replace(self) -> None:
        known = self._patiently(lambda: self._store().progress())
        if known is not None:
            self._member.replace(known)

    def _write(self, batch: Sequence[Read]) -> None:
        changes = self._decoded(batch)
        self._patiently(lambda: self._attempt(batch, changes))

    def _decoded(self, batch: Sequence[Read]) -> list[Change | None]:
        """For each record what it changes; None if nothing."""
        found: list[Change | None] = []
        for read in batch:
            try:
                change = self._views.change(read.value)
            except UnsupportedError as error:
                self.counts.unreadable += 1
                place = f"{self._topic}/{read.place.partition}/{read.offset}"
                self._unread_first = self._unread_first or f"{place}: {error}"
                self._unread += 1
                change = None
            else:
                self.counts.undeclared += change is None
            found.append(change)
        return found

    def _attempt(self, batch: Sequence[Read], changes: Sequence[Change | None]) -> None:
        """Write what is still ours to write of a batch."""
        wanted: list[Change] = []
        ends: dict[int, tuple[Place, int]] = {}
        for read, change in zip(batch, changes, strict=True):
            if self._member.still(read):
                ends[read.place.partition] = read.place, read.offset + 1
                if change is not None:
                    wanted.append(change)
        if ends:
            written = self._apply(wanted, ends.values())
            self.counts.updates += len(wanted)
            self.counts.refused += written.refused

    def _beat(self) -> None:
        """See where partitions end, let the store know that we live, and tell news."""
        self._member.ask_ends(now_ms)
        if self._member.places:
            self._patiently(self._attempt_beat)
            self._member.commit()
        self._tell_unread()

    def _tell_unread(self) -> None:
        if self._unread:
            told = f"{self._unread:,} updates can't be read and are passed over, the first"
            self._told(f"{told} {self._unread_first}")
            self._unread, self._unread_first = 0, ""

    def _attempt_beat(self) -> None:
        places = self._member.places.values()
        self._apply((), [(place, place.upto) for place in places])

    def _apply(self, changes: Sequence[Change], ends: Collection[tuple[Place, int]]) -> Written:
        """Write changes, and that everything before some offsets is written with them."""
        progress = {place.partition: place.progress(upto) for place, upto in ends}
        held = {place.partition: place.held for place, _ in ends}
        written = self._store().apply(changes, progress, held, now_ms(), self._views.keys)
        if written.overtaken:
            raise OvertakenError(
                "a writer with other definitions has begun, and this one has to end",
                hint="start it again with the definitions that are deployed",
            )
        elsewhere = []
        for place, _ in ends:
            noted = progress[place.partition]
            # It is where we meant it to be if an earlier try has worked without our hearing of it.
            found = written.resume.get(place.partition, noted.next_offset)
            if found == noted.next_offset and (found or place.partition not in written.resume):
                place.noted(noted)
            else:
                elsewhere.append(place.partition)
        if elsewhere:
            self._member.misplace(elsewhere)
            self._emptied()
        return written

    def _patiently(self, attempt: Callable[[], _T]) -> _T | None:
        """What comes of trying until it works; None if it is told to end before."""
        while True:
            try:
                found = attempt()
            except RetryableError as error:
                self._member.hold_up()
                self._wait(self._patience.failed(str(error)))
                if self._stop.is_set():
                    return None
            else:
                if self._patience.problem is not None:
                    self._patience.succeeded("the online store takes updates again")
                    self._member.go_on()
                return found

    def _wait(self, seconds: float) -> None:
        """Let time pass and stay a member of the group."""
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0 and not self._stop.is_set():
            self.beaten_ms = now_ms()
            self._member.poll(min(left, _IDLE_S))


def now_ms() -> int:
    """The time, ms UTC."""
    return time.time_ns() // 1_000_000
