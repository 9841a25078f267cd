"""Holds what readers get online to what the kernel makes of the lake's events, by a sample.

A batch layer was made of one version of the table of events, which the view's table of tiles names.
Values are compared as of the last moment for which that layer has everything.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from headrace_batch.days import begins_ms
from headrace_batch.local_events import Events, Span
from headrace_batch.tile_table import TileTable
from headrace_batch.warehouse import Warehouse
from headrace_features.kernel.compute import compute
from headrace_features.kernel.prepare import Spine
from headrace_features.online.served import Query, ServedView, ViewQuery, view_key
from headrace_features.online.serving import Server
from headrace_features.online.store import layers_of
from headrace_features.online.stores import open_store
from headrace_orchestration.bits import same
from headrace_schemas.errors import ConfigurationError, RetryableError

if TYPE_CHECKING:
    from headrace_features.definitions.views import FeatureView
    from headrace_features.online.layers import Generation
    from headrace_features.online.store import StateStore
    from headrace_features.partials.partial import Value
    from headrace_schemas.settings import Settings

#: Entities that are read at once.
_AT_ONCE = 500


@dataclass(frozen=True, slots=True)
class Unlike:
    """One value that isn't the same online and by the lake."""

    feature: str
    entity: str
    online: Value
    lake: Value


@dataclass(frozen=True, slots=True)
class Probed:
    """A view online, held to the lake.

    Attributes:
        view, version: which.
        as_of_ms: the moment, ms UTC.
        entities: how many were compared, of those with events on the day.
        values: how many values that were.
        unlike: all that differ.
    """

    view: str
    version: int
    as_of_ms: int
    entities: int
    values: int
    unlike: tuple[Unlike, ...] = field(repr=False)


def probe(settings: Settings, view: FeatureView, day: date, sample: int) -> Probed:
    """Compare the features of some entities that have events on a day.

    Args:
        settings: where lake and online store are.
        view: the version that is served.
        day: which the batch layer has to have, UTC.
        sample: how many entities at most; which ones depends on their keys alone.

    Raises:
        ConfigurationError: there is no batch layer, or it ends before.
        RetryableError: a newer one is being made, or store or lake don't answer.
    """
    store, warehouse = open_store(settings), Warehouse.of(settings)
    layer = _layer(store, view, day)
    events = _events(warehouse, view, layer)
    as_of_ms = min(layer.boundary_ms, layer.whole_ms) - 1
    if layer.known_ms is not None:
        as_of_ms = min(as_of_ms, layer.known_ms)
    keys = _sampled(events, view, day, sample)
    online = _online(store, view, keys, as_of_ms)
    lake = _of_lake(events, view, keys, as_of_ms)
    return Probed(
        view.name,
        view.version,
        as_of_ms,
        len(keys),
        len(keys) * len(view.feature_names),
        tuple(
            Unlike(name, str(key), found, expected)
            for place, key in enumerate(keys)
            for name, found in zip(view.feature_names, online[place], strict=True)
            if not same(found, expected := lake[name][place])
        ),
    )


def _layer(store: StateStore, view: FeatureView, day: date) -> Generation:
    key = view_key(view)
    layer = layers_of(store, [key])[key].batch
    needed_ms = begins_ms(day + timedelta(days=1))
    if layer is None or layer.boundary_ms < needed_ms:
        until = "is not materialized" if layer is None else f"is not materialized up to {day}"
        raise ConfigurationError(
            f"{view.name} {until}", hint=f"run: headrace materialize --date {day}"
        )
    return layer


def _events(warehouse: Warehouse, view: FeatureView, layer: Generation) -> Events:
    """The table of events as it was when the layer was made of it."""
    taken = TileTable(warehouse, view).taken
    if taken is None or taken.generation != layer.tiles:
        raise RetryableError(
            f"{view.name} is being materialized, or that was broken off",
            hint="run it again once headrace materialize has ended",
        )
    return Events(warehouse, view.source, taken.version)


def _sampled(events: Events, view: FeatureView, day: date, sample: int) -> list[Any]:
    """Entities with events on a day, in the order of a hash of their keys."""
    key = view.entity.join_key
    first_ms = begins_ms(day)
    span = Span(first_ms, begins_ms(day + timedelta(days=1)) - 1)
    found: set[Any] = set()
    for read in events.read([key], span):
        found.update(pc.unique(read[key]).to_pylist())
    return sorted(found, key=lambda one: (zlib.crc32(str(one).encode()), str(one)))[:sample]


def _online(
    store: StateStore, view: FeatureView, keys: Sequence[Any], as_of_ms: int
) -> list[Sequence[Value]]:
    server, served = Server(store), ServedView(view, view.feature_names)
    found: list[Sequence[Value]] = []
    for begin in range(0, len(keys), _AT_ONCE):
        queries = [Query(key, as_of_ms) for key in keys[begin : begin + _AT_ONCE]]
        (answered,) = server.read([ViewQuery(served, queries)])
        found += [one.values for one in answered.answers]
    return found


def _of_lake(
    events: Events, view: FeatureView, keys: Sequence[Any], as_of_ms: int
) -> dict[str, list[Value]]:
    key, before_ms = view.entity.join_key, view.lookback_ms
    kind = events.schema.field(key).type
    asked = pa.array(keys, kind)
    span = Span(None if before_ms is None else as_of_ms - before_ms, as_of_ms)
    schema = pa.schema([events.schema.field(name) for name in view.input_columns])
    parts = [
        read.filter(pc.is_in(read[key], asked)) for read in events.read(view.input_columns, span)
    ]
    spine = Spine(
        keys=pa.chunked_array([asked]),
        times_ms=pa.chunked_array([np.full(len(keys), as_of_ms, np.int64)]),
    )
    theirs = pa.concat_tables([schema.empty_table(), *parts])
    return {name: one.to_pylist() for name, one in compute(view, theirs, spine).items()}
