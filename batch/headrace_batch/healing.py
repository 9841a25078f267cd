"""The account of what was missed: which values were off until a layer had it, and by how much.

Events come too late for the layer that there was, or the stream's state has not taken them in. Of
each entity with such events values are read twice, as readers got them before the layer moves on
and as they get them afterwards: at the end of each day, and when the first such event of each hour
came into them. Those that differ were off.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc
from deltalake import CommitProperties, write_deltalake
from deltalake.exceptions import CommitFailedError

from headrace_batch.backfill_rows import day_of
from headrace_batch.leased import require_held
from headrace_features.definitions.durations import DAY_MS, floor_to
from headrace_features.definitions.windows import Sliding
from headrace_features.engines import Missed
from headrace_features.online.served import ServedView, entity_key, view_key
from headrace_features.online.store import Wanted, overtaken
from headrace_features.partials.partial import Value
from headrace_features.state.layout import AS_OF_RETENTION_MS
from headrace_features.state.read import EntityState, Found
from headrace_schemas.errors import BadRecordError
from headrace_schemas.tables import healed_table

if TYPE_CHECKING:
    from headrace_batch.layer_fields import Made
    from headrace_batch.warehouse import Warehouse
    from headrace_features.definitions.views import FeatureView
    from headrace_features.definitions.windows import Window
    from headrace_features.online.layers import Generation, Layers
    from headrace_features.online.store import StateStore

#: The columns of the account.
HEALED = pa.schema(
    [
        ("day", pa.date32()),
        ("feature", pa.string()),
        ("values_off", pa.int64()),
        ("greatest_difference", pa.float64()),
        ("mean_difference", pa.float64()),
        ("longest_ms", pa.int64()),
        ("healed_ms", pa.int64()),
        ("went_on_from", pa.int64()),
        ("generation", pa.int64()),
    ]
)


@dataclass(slots=True)
class Off:
    """What was off of a feature on a day.

    Attributes:
        values: of how many entities.
        numbers: how many of them are numbers before and afterwards.
        greatest, total: of the greatest difference of each of those.
        since_ms: since when the first of them was.
    """

    values: int = 0
    numbers: int = 0
    greatest: float = 0.0
    total: float = 0.0
    since_ms: int = 1 << 62

    def add(self, other: Off) -> None:
        """Take in what was off of other entities."""
        self.values += other.values
        self.numbers += other.numbers
        self.greatest = max(self.greatest, other.greatest)
        self.total += other.total
        self.since_ms = min(self.since_ms, other.since_ms)


class Healing:
    """What a generation that goes on from another one puts right.

    Attributes:
        before: the generation that readers have.
        layers: as readers have them, and as they are going to have them.
        missed: by entity what the stream's state lacks.
        off: by day and feature, what was off.
    """

    def __init__(
        self,
        view: FeatureView,
        before: Layers,
        after: Layers,
        missed: Mapping[bytes, Missed],
    ) -> None:
        """Take the layers as readers have them, and as they are going to have them.

        Args:
            view: whose layers they are.
            before, after: both with a batch layer.
            missed: by entity what the stream's state lacks of the days that come in.
        """
        if before.batch is None or after.batch is None:
            raise ValueError("there is no layer before it")
        self.before: Generation = before.batch
        self.off: dict[tuple[date, str], Off] = defaultdict(Off)
        self.layers = before, after
        self._view = view
        self._served = ServedView(view, view.feature_names)
        # Both layers answer from then on.
        self._earliest_ms = after.batch.boundary_ms - AS_OF_RETENTION_MS
        # Without a stream nothing is known of later days before they are in the layer.
        self._end_ms = self.before.boundary_ms if before.stream is None else after.batch.boundary_ms
        # An event comes into a value when it is, or once a window that is delayed has all of its
        # hop.
        self._after_ms = {_comes_after_ms(feature.window) for feature in view.features}
        self.missed = missed
        self._late: dict[bytes, Missed] = {}
        self._changes: dict[bytes, dict[str, bytes]] = {}
        self._lost: dict[bytes, Missed] = {}

    def expect(self, events: pa.Table) -> None:
        """Look for events among some that are about to come in which values should have had."""
        source = self._view.source
        key, time, known = self._view.entity.join_key, source.event_time, source.available_at
        late = pc.less(events[time], self.before.boundary_ms)
        if known is not None:
            # Others could not be known when it was made.
            had_ms = self.before.known_ms or self.before.written_ms
            late = pc.and_(late, pc.less_equal(events[known], had_ms))
        some = events.filter(late).select(list(dict.fromkeys((key, time, known or time))))
        found: dict[bytes, list[tuple[int, int]]] = defaultdict(list)
        columns = (some[name].to_pylist() for name in (key, time, known or time))
        for name, time_ms, known_ms in zip(*columns, strict=True):
            found[entity_key(name)].append((time_ms, known_ms))
        if self.missed:
            for entity in map(entity_key, pc.unique(events[key]).to_pylist()):
                if (one := self.missed.get(entity)) is not None:
                    found[entity] += one.firsts
        self._changes = {}
        self._late = {entity: Missed.of(times) for entity, times in found.items()}

    def late_among(self, lost: Iterable[bytes]) -> dict[bytes, Missed]:
        """Of entities whose fields were not made when their events were looked at the late ones."""
        return {entity: self._lost[entity] for entity in lost if entity in self._lost}

    def expect_again(self, late: Mapping[bytes, Missed]) -> None:
        """Account for such entities, whose fields are about to be made."""
        self._changes = {}
        self._late = {**late}

    def watched(self, made: Iterator[Made]) -> Iterator[Made]:
        """The fields as they are written; those of entities with late events are remembered."""
        for one in made:
            for entity, field, content in one.rows:
                if entity in self._late:
                    self._changes.setdefault(entity, {})[field] = content
            yield one

    def account(self, store: StateStore) -> None:
        """Compare the values of entities with late events."""
        self._lost |= {
            entity: late for entity, late in self._late.items() if entity not in self._changes
        }
        entities = list(self._changes)
        if not entities:
            return
        key = view_key(self._view)
        reading = store.read({key: self.layers[0]}, [Wanted(key, entities, None)])
        # Nobody else moves the layers on; what was pending no longer is.
        if reading.found is None:
            reading = store.read(reading.layers, [Wanted(key, entities, None)])
        for entity, (batch, stream) in zip(entities, (reading.found or [[]])[0], strict=True):
            both = {**batch, **self._changes[entity]}
            healed = {name: content for name, content in both.items() if content}
            self._compare(self._late[entity], Found(batch, stream), Found(healed, stream))

    def _compare(self, late: Missed, before: Found, after: Found) -> None:
        since_ms = min(known_ms for _, known_ms in late.firsts)
        differences: dict[tuple[date, str], float | None] = {}
        for time_ms in self._moments(late):
            values = [
                self._values(layers, found, time_ms)
                for layers, found in zip(self.layers, (before, after), strict=True)
            ]
            for name, old, new in zip(self._view.feature_names, *values, strict=True):
                if old != new:
                    place = day_of(time_ms), name
                    known = differences.get(place), _difference(old, new)
                    differences[place] = max((d for d in known if d is not None), default=None)
        for place, difference in differences.items():
            one = Off(values=1, since_ms=since_ms)
            if difference is not None:
                one = Off(1, 1, difference, difference, since_ms)
            self.off[place].add(one)

    def _moments(self, late: Missed) -> list[int]:
        """When values are looked at, ms UTC, in order."""
        begins_ms = max(floor_to(late.firsts[0][0], DAY_MS), self._earliest_ms)
        moments = {at_ms + DAY_MS - 1 for at_ms in range(begins_ms, self._end_ms, DAY_MS)}
        for time_ms, known_ms in late.firsts:
            moments |= {max(time_ms + after_ms, known_ms) for after_ms in self._after_ms}
        return sorted(one for one in moments if self._earliest_ms <= one < self._end_ms)

    def _values(self, layers: Layers, found: Found, time_ms: int) -> list[Value]:
        asked = self._served.asked
        moment = asked.at(time_ms, self._served.layout(layers))
        try:
            return list(EntityState(asked, moment, found).read().values)
        except BadRecordError:
            return [None] * len(self._view.feature_names)

    def add(self, off: Mapping[tuple[date, str], Off]) -> None:
        """Take in what was off of entities that were accounted for elsewhere."""
        for place, one in off.items():
            self.off[place].add(one)

    def record(
        self, warehouse: Warehouse, store: StateStore, generation: Generation, healed_ms: int
    ) -> None:
        """Write the account down, in place of one of a generation that was never published.

        Raises:
            RetryableError: another generation has been begun since.
        """
        name = healed_table(self._view.name, self._view.version)
        if not self.off and not _has_rows(warehouse, name, self.before.id):
            return
        table = warehouse.create(name, HEALED)
        # Whoever takes over from here on writes onto what was looked at just before.
        require_held(store, generation)
        with warehouse.explaining(name, except_for=CommitFailedError):
            try:
                write_deltalake(
                    table,
                    pa.Table.from_pylist(list(self._rows(generation.id, healed_ms)), HEALED),
                    mode="overwrite",
                    predicate=f"went_on_from = {self.before.id}",
                    commit_properties=CommitProperties(max_commit_retries=0),
                )
            except CommitFailedError as error:
                raise overtaken(self._view.name) from error

    def _rows(self, generation: int, healed_ms: int) -> Iterator[Mapping[str, Any]]:
        for (day, feature), off in sorted(self.off.items()):
            yield {
                "day": day,
                "feature": feature,
                "values_off": off.values,
                "greatest_difference": off.greatest if off.numbers else None,
                "mean_difference": off.total / off.numbers if off.numbers else None,
                "longest_ms": healed_ms - off.since_ms,
                "healed_ms": healed_ms,
                "went_on_from": self.before.id,
                "generation": generation,
            }


def _comes_after_ms(window: Window) -> int:
    hop_ms = window.hop_ms if isinstance(window, Sliding) else 1
    return window.delay_ms + hop_ms - 1 if window.delay_ms else 0


def _difference(old: Value, new: Value) -> float | None:
    """How far two numbers are apart."""
    if isinstance(old, int | float) and isinstance(new, int | float):
        return abs(float(new) - float(old))
    return None


def _has_rows(warehouse: Warehouse, name: str, went_on_from: int) -> bool:
    """Whether there is an account of a generation that went on from another one."""
    if not warehouse.exists(name):
        return False
    return pc.any(pc.equal(warehouse.read(name)["went_on_from"], went_on_from)).as_py() or False


def healed_rows(warehouse: Warehouse, view: FeatureView) -> list[Mapping[str, Any]]:
    """The account of a view, the newest first."""
    name = healed_table(view.name, view.version)
    if not warehouse.exists(name):
        return []
    rows = warehouse.read(name).sort_by(
        [("healed_ms", "descending"), ("day", "ascending"), ("feature", "ascending")]
    )
    found: list[Mapping[str, Any]] = rows.to_pylist()
    return found
