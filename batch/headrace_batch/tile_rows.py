"""Rows of a view's tiles: all events of an entity on one day, as one row."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from headrace_features.definitions.durations import DAY_MS
from headrace_features.kernel.columns import times
from headrace_features.kernel.prepare import ARROW_TYPES, encode_keys
from headrace_features.kernel.sorting import order_by, stable_order
from headrace_features.partials.plan import plan_of
from headrace_schemas.tables import EVENT_DATE

if TYPE_CHECKING:
    from headrace_features.definitions.views import FeatureView

#: The number of the generation with which a row came into the table.
GENERATION = "generation"
#: How many events a row has.
COUNT = "events_count"
#: The events of a row, in the order of time.
EVENTS = "events"


def event_schema(view: FeatureView) -> pa.Schema:
    """What is kept of an event: key, time, dedup key, when it was known, and what partials read."""
    source = view.source
    names = [view.entity.join_key, source.event_time, source.dedup_key]
    if source.available_at is not None:
        names.append(source.available_at)
    names += plan_of(view).columns
    derived = view.derived_expressions
    return pa.schema(
        [
            (name, ARROW_TYPES[(derived[name] if name in derived else source.column(name)).type])
            for name in dict.fromkeys(names)
        ]
    )


def tile_schema(view: FeatureView) -> pa.Schema:
    """The columns of the table of a view's tiles."""
    key, *rest = event_schema(view)
    return pa.schema(
        [
            (EVENT_DATE, pa.date32()),
            key,
            (GENERATION, pa.int64()),
            (COUNT, pa.int64()),
            (EVENTS, pa.list_(pa.struct(rest))),
        ]
    )


def rows_of(view: FeatureView, events: pa.Table, generation: int) -> pa.Table:
    """The rows that events make, day after day.

    Args:
        view: whose events they are; its filter and derived columns have been applied.
        events: with the columns of `event_schema` at least.
        generation: the number that the rows get.
    """
    schema = tile_schema(view)
    key, *rest = event_schema(view)
    if not len(events):
        return schema.empty_table()
    time_ms = times(events[view.source.event_time])
    codes = encode_keys(events[key.name])
    order = order_by(codes, time_ms)
    days = np.floor_divide(time_ms, DAY_MS)
    order = order[stable_order(days[order] - days.min())]
    codes, days = codes[order], days[order]
    starts = np.flatnonzero(
        np.concatenate([[True], (codes[1:] != codes[:-1]) | (days[1:] != days[:-1])])
    )
    counts = np.diff(np.append(starts, len(order)))
    sorted_events = events.take(pa.array(order))
    fields = [sorted_events[field.name].combine_chunks() for field in rest]
    offsets = pa.array(np.append(starts, len(order)).astype(np.int32))
    structs = pa.StructArray.from_arrays(fields, fields=list(rest))
    return pa.table(
        [
            pa.array(days[starts].astype(np.int32)).cast(pa.date32()),
            sorted_events[key.name].take(pa.array(starts)),
            pa.array(np.full(len(starts), generation, np.int64)),
            pa.array(counts),
            pa.ListArray.from_arrays(offsets, structs),
        ],
        schema=schema,
    )


def events_in(view: FeatureView, rows: pa.Table) -> pa.Table:
    """The events of some rows, with the columns of `event_schema`."""
    key, *rest = event_schema(view)
    lists = rows[EVENTS].combine_chunks()
    lists = lists.chunk(0) if isinstance(lists, pa.ChunkedArray) else lists
    structs = lists.flatten()
    owners = np.repeat(np.arange(len(rows)), rows[COUNT].to_numpy())
    keys = rows[key.name].take(pa.array(owners))
    columns = [structs.field(field.name) for field in rest]
    return pa.table([keys, *columns], schema=pa.schema([key, *rest]))
