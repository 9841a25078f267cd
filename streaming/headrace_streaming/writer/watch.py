"""Keeps the store's knowledge of what the stream layer has up to date, beside the writing."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from threading import Event
from typing import TYPE_CHECKING

from headrace_features.online.layers import NEVER_MS
from headrace_features.online.served import view_key
from headrace_features.online.store import layers_of
from headrace_schemas.errors import ConfigurationError
from headrace_schemas.topics import DEPLOYMENTS
from headrace_streaming.kafka.reading import ends, next_offsets
from headrace_streaming.kafka.topics import existing_topics, updates_in
from headrace_streaming.writer.announcements import Announcements, sent_around
from headrace_streaming.writer.coverage import Coverage, coverage_of
from headrace_streaming.writer.lag import LagWatch
from headrace_streaming.writer.places import has_all

if TYPE_CHECKING:
    from headrace_features.online.store import StateStore
    from headrace_features.project import Project


class OtherBrokerError(ConfigurationError):
    """The store has state of deployments that the broker has never numbered."""


class CoverageWatch:
    """Notes in the store since when views are complete, and up to when.

    A store that knows of a view is told at once. One that is new, or was emptied, is told when it
    has everything that was there when it was looked at: it isn't complete before.
    """

    def __init__(self, config: Mapping[str, str], project: Project) -> None:
        self._config = config
        self._views = {view_key(view): view for view in project.views.values()}
        self._topic = updates_in(project)
        self._announcements = Announcements(config, project.name, project.namespace)
        self._lag = LagWatch(config, project)
        self._known: dict[str, Coverage] = {}
        self._untold: dict[str, Coverage] = {}
        self._ends: dict[int, int] = {}
        self._computed = True
        self._belongs = False
        self._anew = Event()

    def look(self, store: Callable[[], StateStore], *, patience_s: float = 0.0) -> None:
        """Look for new deployments, and tell the store what it is to know by now.

        Raises:
            RetryableError: the broker or the store doesn't answer; the next look makes up for it.
            ConfigurationError: the topic of a source isn't there.
            OtherBrokerError: the broker is not the one whose updates the store has.
        """
        if not self._belongs:
            self._require_belonging(store())
        if self._anew.is_set():
            self._anew.clear()
            self._untold, self._ends = dict(self._known), {}
        if self._announcements.look(patience_s):
            self._computed = False
        if not self._computed:
            known = coverage_of(
                self._announcements.deployed,
                self._announcements.started,
                self._views.values(),
                partial(sent_around, self._config),
            )
            self._computed = True
            self._untold |= {key: one for key, one in known.items() if self._known.get(key) != one}
            self._known = known
        if self._untold:
            self._tell(store())
        deployed = self._announcements.deployed
        if deployed and self._announcements.whole:
            waiting = {
                one.epoch
                for one in deployed
                if one.told.history and one.epoch not in self._announcements.taken_over
            }
            whole = {key: one for key, one in self._known.items() if one.began not in waiting}
            self._lag.look(store(), deployed[-1], whole)

    def again(self) -> None:
        """Have everything told once more by the next look: the store was emptied or put back."""
        self._anew.set()

    @property
    def done(self) -> bool:
        """Whether the store knows all there is to tell."""
        whole = self._announcements.whole and self._computed
        return whole and not self._untold and not self._anew.is_set()

    def close(self) -> None:
        """End its connections."""
        self._announcements.close()
        self._lag.close()

    def _tell(self, store: StateStore) -> None:
        layers = layers_of(store, self._untold)
        waiting: dict[str, Coverage] = {}
        for key, one in self._untold.items():
            span = layers[key].stream
            if span is None or span.since_ms == NEVER_MS:
                waiting[key] = one
            elif span.epoch < one.epoch:
                # Once known it stays: records go from topics, not from the store.
                known = span.epoch >= one.holds_from
                store.covers(key, one.epoch, span.since_ms if known else one.since_ms)
        self._untold = waiting
        if waiting and self._has_come_far_enough(store):
            for key, one in waiting.items():
                store.covers(key, one.epoch, one.since_ms)
            self._untold = {}
        if not self._untold:
            self._ends = {}

    def _require_belonging(self, store: StateStore) -> None:
        """See that deployments of the broker aren't taken for older than what the store has.

        Numbers begin again with a broker that was made anew: what it sends would be refused.
        """
        layers = layers_of(store, self._views).values()
        held = max((one.stream.epoch for one in layers if one.stream is not None), default=0)
        # Asked for after what is in the store.
        newest = 0
        if DEPLOYMENTS in existing_topics(self._config):
            newest = max(end for _, end in ends(self._config, DEPLOYMENTS).values())
        if held > newest:
            raise OtherBrokerError(
                f"the online store has state of deployment {held}, and this broker knows of"
                f" {newest}: it isn't the one that it came from",
                hint="run: headrace online rebuild",
            )
        self._belongs = True

    def _has_come_far_enough(self, store: StateStore) -> bool:
        if not self._ends:
            self._ends = next_offsets(self._config, self._topic)
        return has_all(store.progress(), self._ends)
