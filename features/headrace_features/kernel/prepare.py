"""From Arrow tables to frames: derive, filter, encode and sort."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from headrace_features.definitions.aggregates import Kind
from headrace_features.expressions import arrow
from headrace_features.kernel.columns import times
from headrace_features.kernel.frames import Frame
from headrace_features.kernel.sorting import order_by, stable_order
from headrace_schemas.columns import ColumnType

if TYPE_CHECKING:
    from headrace_features.definitions.views import FeatureView
    from headrace_features.kernel.arrays import Ints

ARROW_TYPES = {
    ColumnType.INT64: pa.int64(),
    ColumnType.FLOAT64: pa.float64(),
    ColumnType.STRING: pa.string(),
    ColumnType.BOOL: pa.bool_(),
}


@dataclass(frozen=True)
class Spine:
    """Rows for which values are wanted.

    Attributes:
        keys: entity keys, not null.
        times_ms: event times in ms UTC, int64, not null.
        current: the dedup key of the event being decided, null where there is none; or None.
    """

    keys: pa.ChunkedArray
    times_ms: pa.ChunkedArray
    current: pa.ChunkedArray | None = None


@dataclass(frozen=True)
class Prepared:
    """A frame over whole tables, and how its order maps to theirs.

    Attributes:
        frame: events and rows, sorted.
        events: the table after derived columns and the filter, in its own order.
        event_order, row_order: positions in the tables, in the order of the frame.
    """

    frame: Frame
    events: pa.Table
    event_order: Ints
    row_order: Ints


def prepare(view: FeatureView, events: pa.Table, spine: Spine) -> Prepared:
    """Derive, filter, encode and sort the events and the spine of a view.

    Args:
        view: the definition.
        events: the input columns of the view; no two rows share a dedup key.
        spine: the rows asked for.
    """
    events = apply_expressions(view, events)
    event_codes, row_codes = _entity_codes(events[view.entity.join_key], spine.keys)
    current = _current(view, events, spine)
    return arranged(view, events, Rows(event_codes, row_codes, times(spine.times_ms), current))


@dataclass(frozen=True)
class Rows:
    """Whose events a row sees, where that is known by codes.

    Attributes:
        event_entity: for each event the entity that it is of, dense codes.
        row_entity: for each row the entity that is asked for.
        times_ms: when.
        current: for each row the position of the event being decided, or -1.
    """

    event_entity: Ints
    row_entity: Ints
    times_ms: Ints
    current: Ints


def arranged(view: FeatureView, events: pa.Table, rows: Rows) -> Prepared:
    """Sort events and rows of a view.

    Args:
        view: the definition.
        events: what `apply_expressions` has left; no two of an entity share a dedup key.
        rows: the entities of the events, and the rows asked for.
    """
    source = view.source
    event_codes, event_ms = rows.event_entity, times(events[source.event_time])
    event_order = order_by(event_codes, event_ms)
    # A backfill asks at the events themselves: one sort serves both.
    same = rows.row_entity is event_codes and np.array_equal(rows.times_ms, event_ms)
    row_order = event_order if same else order_by(rows.row_entity, rows.times_ms)
    if any(feature.kind in (Kind.FIRST, Kind.LAST) for feature in view.features):
        event_order = _ties_by_key(event_order, event_codes, event_ms, events[source.dedup_key])
    available = None
    if source.available_at is not None:
        available = times(events[source.available_at])[event_order]
    place = np.empty(len(events) + 1, np.int64)
    place[event_order] = np.arange(len(events))
    place[-1] = -1
    frame = Frame(
        event_entity=event_codes[event_order],
        event_ms=event_ms[event_order],
        available_ms=available,
        row_entity=rows.row_entity[row_order],
        row_ms=rows.times_ms[row_order],
        current=place[rows.current[row_order]],
    )
    return Prepared(frame, events, event_order, row_order)


def apply_expressions(view: FeatureView, events: pa.Table) -> pa.Table:
    """The events with the derived columns of a view that pass its filter."""
    columns = {name: events[name] for name in events.column_names}
    for name, expression in view.derived_expressions.items():
        kind = ARROW_TYPES[expression.type]
        columns[name] = arrow.evaluate(expression.node, columns, len(events), kind)
    table = pa.table(columns)
    condition = view.filter_expression
    if condition is None:
        return table
    return table.filter(arrow.evaluate(condition.node, columns, len(events), pa.bool_()))


def _entity_codes(events: pa.ChunkedArray, rows: pa.ChunkedArray) -> tuple[Ints, Ints]:
    """Dense codes for the keys of events and rows together."""
    if rows.equals(events):
        codes = encode_keys(events)
        return codes, codes
    both = pa.chunked_array([*events.chunks, *rows.cast(events.type).chunks], events.type)
    codes = encode_keys(both)
    return codes[: len(events)], codes[len(events) :]


def encode_keys(keys: pa.ChunkedArray) -> Ints:
    """Dense codes of the distinct values of a column without nulls."""
    encoded = keys.dictionary_encode().unify_dictionaries()
    if not len(keys):
        return np.empty(0, np.int64)
    codes = [chunk.indices.to_numpy() for chunk in encoded.chunks]
    return np.concatenate(codes, dtype=np.int64)


def _ties_by_key(order: Ints, codes: Ints, event_ms: Ints, dedup: pa.ChunkedArray) -> Ints:
    """The order, with events of one entity and time sorted by the bytes of their dedup key."""
    entity, time_ms = codes[order], event_ms[order]
    same = (entity[1:] == entity[:-1]) & (time_ms[1:] == time_ms[:-1])
    if not same.any():
        return order
    tied = np.zeros(len(order), np.bool_)
    tied[1:] |= same
    tied[:-1] |= same
    place = np.flatnonzero(tied)
    run = np.concatenate([[0], np.cumsum(~same)])[place]
    keys = dedup.take(pa.array(order[place])).cast(pa.binary())
    by_key = pc.sort_indices(keys).to_numpy().astype(np.int64)
    by_run = by_key[stable_order(run[by_key])]
    result = order.copy()
    result[place] = order[place[by_run]]
    return result


def _current(view: FeatureView, events: pa.Table, spine: Spine) -> Ints:
    """For each row of the spine the position of the event it decides, or -1."""
    rows = len(spine.keys)
    wanted = any(feature.exclude_current for feature in view.features)
    if spine.current is None or not wanted or not len(events):
        return np.full(rows, -1, np.int64)
    keys = events[view.source.dedup_key]
    if spine.current.equals(keys):
        return np.arange(rows)
    found = pc.index_in(spine.current, value_set=keys.combine_chunks(), skip_nulls=True)
    found_or_none: Ints = pc.fill_null(found, -1).to_numpy().astype(np.int64)
    return found_or_none
