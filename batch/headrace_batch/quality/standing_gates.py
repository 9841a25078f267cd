"""The gates that stand before history, batch layers and sets: no day that fails comes into them."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from typing import TYPE_CHECKING

from headrace_batch.event_files import EventFiles
from headrace_batch.history_increment import Held, held_by
from headrace_batch.ingest.daily_files import comes_by_days
from headrace_batch.quality.tables import gated_table
from headrace_batch.quality.verdicts import require_passing
from headrace_batch.warehouse import Warehouse
from headrace_features.definitions.sources import EventSource
from headrace_features.project import load_project

if TYPE_CHECKING:
    from collections.abc import Iterable

    from headrace_features.definitions.gates import Gate
    from headrace_features.definitions.views import FeatureView
    from headrace_schemas.settings import Settings


@dataclass(frozen=True, slots=True)
class StandingGates:
    """The gates before what is made of the events of a view.

    `seen` tells which events something was made of already. Of tables of which `versions` has one
    days are as they were then.

    Ask before anything is written, and again before it is published, of the version of the table
    of events that was read: some may have come, or gone, meanwhile.
    """

    settings: Settings
    source: EventSource
    gates: tuple[Gate, ...]
    seen: Held | None
    versions: Mapping[str, int] = field(default_factory=dict)

    def require(self, last: date, version: int | None = None) -> None:
        """Have all days pass that come in up to a day.

        Those are the days of events that nothing was made of yet, days without any among them, and
        those that are open, see `require_passing`; where nothing was made of any event, the last
        day and these. Of events that don't come day by day the last day is the newest one that has
        any.

        Args:
            last: the day.
            version: of the table of events, as it was read.

        Raises:
            GateError: a day doesn't pass.
            ConfigurationError: a table or a baseline is missing or damaged.
        """
        if not self.gates:
            return
        read = {} if version is None else {self.source.table: version}
        versions = {**self.versions, **read}
        warehouse = replace(Warehouse.of(self.settings), versions=versions)
        came = self._came(warehouse, last)
        for gate in self.gates:
            # Features are held to theirs where some were computed.
            table, now_ms = gated_table(gate), time.time_ns() // 1_000_000
            if isinstance(gate.of, EventSource) or warehouse.exists(table):
                require_passing(self.settings, gate, came, last, now_ms, versions.get(table))

    def _came(self, warehouse: Warehouse, last: date) -> set[date]:
        events = EventFiles(warehouse, self.source)
        by_days = comes_by_days(self.settings, self.source.name)
        newest = last
        if not by_days:
            newest = max((one.day for one in events.all() if one.day <= last), default=last)
        seen = self.seen
        if seen is None or seen.source != events.identity:
            return {newest}
        missing = (last - seen.until).days if by_days else 0
        new = {newest, *(seen.until + timedelta(n) for n in range(1, missing + 1))}
        # Where nobody can tell what came since, days that have other rows are open all the same.
        came = events.since(seen.version, seen.until) or ()
        return new | {file.day for file in came if file.day <= last}


def before_layer(
    settings: Settings,
    view: FeatureView,
    seen: Held | None,
    versions: Mapping[str, int] | None = None,
) -> StandingGates:
    """The gates before a batch layer or a set: those of the view's source, and of its features.

    Features are held to theirs where they were computed.
    """
    standing = _standing(settings, view.source, (view.source.name, view.name), seen)
    return replace(standing, versions=versions or {})


def require_history_gate(
    settings: Settings, view: FeatureView, last: date, version: int | None = None
) -> None:
    """Have the days of events pass that are to come into the history of a view, up to one.

    Ask before anything is done, and again once it is settled of which version of their table
    events come in: some may have come, or gone, meanwhile.

    Raises:
        GateError: a day doesn't pass.
        ConfigurationError: a table or a baseline is missing or damaged.
    """
    held = held_by(Warehouse.of(settings), view)
    until = last if held is None else max(last, held.until)
    _standing(settings, view.source, (view.source.name,), held).require(until, version)


def _standing(
    settings: Settings, source: EventSource, names: Iterable[str], seen: Held | None
) -> StandingGates:
    declared = load_project(settings).gates
    gates = tuple(declared[name] for name in names if name in declared)
    return StandingGates(settings, source, gates, seen)
