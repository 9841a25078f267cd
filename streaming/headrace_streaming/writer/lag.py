"""Up to when the store has everything that was sent, by what the broker and the job tell."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from headrace_features.online.layers import NEVER_MS
from headrace_features.online.served import view_key
from headrace_streaming.job.assembly import consumer_group
from headrace_streaming.job.config import Mode
from headrace_streaming.kafka.positions import Positions
from headrace_streaming.kafka.topics import updates_in
from headrace_streaming.writer.loop import now_ms
from headrace_streaming.writer.places import has_all
from headrace_streaming.writer.watermarks import watermarks

if TYPE_CHECKING:
    from headrace_features.online.store import StateStore
    from headrace_features.project import Project
    from headrace_streaming.kafka.epochs import Deployed
    from headrace_streaming.writer.coverage import Coverage


@dataclass(slots=True)
class _Moment:
    """A moment, and what there was then.

    Attributes:
        at_ms: when, ms UTC.
        events: by partition, where the topic of a source ended.
        watermarks: by view, up to when the job had taken in what it has read; None where it
            waits for nothing.
        updates: by partition, where the topic of updates ended when the job had taken these in;
            None until it has.
    """

    at_ms: int
    events: dict[int, int]
    watermarks: dict[str, int] | None
    updates: dict[int, int] | None = None


class LagWatch:
    """Notes in the store up to when the stream layer has all events; for one thread.

    At some moment it sees where the topic of a source ends. With a checkpoint the job tells how far
    it has read; all that it has made of that is in the topic of updates by then. Once the store has
    what is there, it has every event that had been sent at that moment. A job that doesn't run, or
    doesn't get on, tells nothing, and neither does a writer. In ordered mode that is so of events
    which could be known by the time that the watermark had reached.
    """

    def __init__(self, config: Mapping[str, str], project: Project) -> None:
        self._config = config
        self._project = project
        self._views: dict[str, list[str]] = {}
        for view in project.views.values():
            self._views.setdefault(view.source.topic, []).append(view_key(view))
        self._moments: dict[str, _Moment] = {}
        self._job: tuple[int, Positions] | None = None

    def look(self, store: StateStore, newest: Deployed, known: Mapping[str, Coverage]) -> None:
        """Tell the store what is known by now.

        Args:
            store: the online store.
            newest: the newest deployment.
            known: by the keys of views since when they are complete, and of which deployment.

        Raises:
            RetryableError: the broker or the store doesn't answer.
            ConfigurationError: the topic of a source isn't there.
        """
        job = self._told_by(newest.epoch)
        asked = {
            topic: {
                key: known[key].epoch
                for key in keys
                if key in known and known[key].since_ms < NEVER_MS
            }
            for topic, keys in self._views.items()
        }
        asked = {topic: views for topic, views in asked.items() if views}
        self._begin(job, newest, asked)
        for topic, views in asked.items():
            passed = self._passed(job, topic, store)
            if passed is None:
                continue
            if passed.watermarks is None:
                store.caught_up(views, passed.at_ms)
                continue
            for key, epoch in views.items():
                if key in passed.watermarks:
                    store.caught_up({key: epoch}, min(passed.at_ms, passed.watermarks[key]))

    def close(self) -> None:
        """End its connections."""
        if self._job is not None:
            self._job[1].close()

    def _told_by(self, epoch: int) -> Positions:
        """What the job of a deployment tells; what another one has told is of no use."""
        if self._job is None or self._job[0] != epoch:
            self.close()
            self._moments.clear()
            self._job = (
                epoch,
                Positions(self._config, consumer_group(self._project.full_name, epoch)),
            )
        return self._job[1]

    def _begin(self, job: Positions, newest: Deployed, topics: Iterable[str]) -> None:
        """Look at topics of which no moment is waited for."""
        topics = [topic for topic in topics if topic not in self._moments]
        passed = None
        if topics and newest.told.mode == Mode.ORDERED:
            passed = watermarks(self._config, self._project, newest)
        for topic in topics:
            # The time is taken first: what is sent while we look is not of that moment.
            at_ms = now_ms()
            self._moments[topic] = _Moment(at_ms, job.next_offsets(topic), passed)

    def _passed(self, job: Positions, topic: str, store: StateStore) -> _Moment | None:
        """The newest moment before which the store has all events of a topic, if it is news."""
        moment = self._moments[topic]
        if moment.updates is None:
            if not job.has_read(topic, moment.events):
                return None
            moment.updates = job.next_offsets(updates_in(self._project))
        if not has_all(store.progress(), moment.updates):
            return None
        del self._moments[topic]
        return moment
