"""Writes fields of a batch layer: those of whole entities, in any process."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING, NamedTuple

from headrace_batch.backfill_rows import day_of
from headrace_batch.layer_fields import LayerFields, Made
from headrace_batch.tile_table import TileDays
from headrace_features.online.store import Row
from headrace_features.state.layout import layout_of

if TYPE_CHECKING:
    import pyarrow as pa

    from headrace_batch.healing import Healing
    from headrace_features.definitions.views import FeatureView
    from headrace_features.engines import Missed
    from headrace_features.online.layers import Generation
    from headrace_features.online.store import StateStore


@contextmanager
def _uncollected() -> Iterator[None]:
    """Let nobody look for cycles of objects meanwhile.

    Millions of small ones come and go here, in no cycle: to look for such takes a fifth of the
    time.
    """
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


class Filled(NamedTuple):
    """What was written into a layer.

    Attributes:
        entities: of how many something was written.
        events: how many came into the layer.
        fields: how many were written.
    """

    entities: int
    events: int
    fields: int


@dataclass(frozen=True, slots=True)
class Layer:
    """A generation that is to be filled.

    Attributes:
        view: whose batch layer it is.
        store: where it is.
        generation: the one that is being built.
        healing: accounts for what was late, where it goes on from another one; else None.
    """

    view: FeatureView
    store: StateStore
    generation: Generation
    healing: Healing | None

    @property
    def all(self) -> TileDays:
        """The rows of tiles that windows reach."""
        return TileDays(self._first(self.generation), day_of(self.generation.boundary_ms))

    @property
    def came(self) -> TileDays:
        """Those of them that the generation before it has not."""
        if self.healing is None:
            return self.all
        before = self.healing.before
        return self.all._replace(came=before.tiles, whole=day_of(before.boundary_ms))

    @property
    def left(self) -> TileDays | None:
        """Those that no window reaches any more, and some reached before; None for none."""
        first = self._first(self.generation)
        if first is None or self.healing is None:
            return None
        return TileDays(self._first(self.healing.before), first)

    def _first(self, generation: Generation) -> date | None:
        """The first day that a window reaches; None where there is one without an end."""
        layout = layout_of(self.view, generation.boundary_ms)
        return None if layout.unbounded else day_of(layout.horizon_ms)


class LayerWriter:
    """Writes fields of a generation.

    Attributes:
        entities, events, fields: how many so far.
        lost: entities that have to be built anew of all their events.
    """

    def __init__(
        self,
        store: StateStore,
        generation: Generation,
        view: FeatureView,
        advance: Callable[[int], None],
    ) -> None:
        """Take what is needed.

        Args:
            store: the online store.
            generation: the one that is being built.
            view: whose layer it is.
            advance: takes the number of events done so far.
        """
        self._store = store
        self._generation = generation
        self._made = LayerFields(view, generation.boundary_ms)
        self._advance = advance
        self.entities = self.events = self.fields = 0
        self.lost: list[bytes] = []

    @property
    def filled(self) -> Filled:
        """What was written."""
        return Filled(self.entities, self.events, self.fields)

    def build(self, events: pa.Table) -> None:
        """Write the fields of entities of which there are none, of all their events."""
        self._write(self._made.built(events))

    def go_on(self, events: pa.Table, left: Sequence[str | int], healing: Healing) -> None:
        """Write what differs of entities.

        Args:
            events: those that come in.
            left: the keys of entities without such that had some on days which have left.
            healing: accounts for what was late.
        """
        healing.expect(events)
        made = self._made.advanced(self._store, self._generation, events, self.lost)
        self._write(healing.watched(made))
        healing.account(self._store)
        self._write(self._made.left(self._store, self._generation, left))

    def rebuild(self, events: pa.Table, late: Mapping[bytes, Missed], healing: Healing) -> None:
        """Write the fields of entities that are built anew of all their events.

        Args:
            events: all of them.
            late: of those of them with late events the first.
            healing: accounts for what was late.
        """
        healing.expect_again(late)
        self._write(healing.watched(self._rebuilt(events)))
        healing.account(self._store)

    def _write(self, made: Iterator[Made]) -> None:
        with _uncollected():
            for rows, entities, events in made:
                self.fields += self._store.write(self._generation, rows)
                self.entities += entities
                self.events += events
                self._advance(self.events)

    def _rebuilt(self, events: pa.Table) -> Iterator[Made]:
        for rows, entities, count in self._made.built(events):
            held: dict[bytes, set[str]] = {}
            for row in rows:
                held.setdefault(row.entity, set()).add(row.field)
            kept = self._store.kept(self._generation, [(entity, None) for entity in held])
            gone = [
                Row(entity, name, b"")
                for (entity, fields), before in zip(held.items(), kept, strict=True)
                for name in before.keys() - fields
            ]
            yield Made([*rows, *gone], entities, count)
