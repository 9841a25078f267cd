"""A history in-process: entities in parts that fit into memory, results in the spine's order."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from headrace_batch.history_rows import features_at_rows, row_features
from headrace_batch.history_spine import ROW, SpineRows, Survey, row_schema, rows_of
from headrace_batch.local_events import Events, Span
from headrace_batch.local_spill import Workspace, entity_parts
from headrace_batch.warehouse import Warehouse
from headrace_features.kernel.sorting import is_sorted

if TYPE_CHECKING:
    from headrace_features.definitions.views import Selection


def features(
    warehouse: Warehouse,
    workspace: Workspace,
    selection: Selection,
    spine: SpineRows,
    surveyed: Survey,
) -> Iterator[pa.Table]:
    """The features at every row of a spine, table by table in the order of its rows.

    Args:
        warehouse: where the events are.
        workspace: how many events and rows are in memory at once.
        selection: a view and the features of it that are wanted.
        spine: the rows.
        surveyed: that they are in order, and between which times.
    """
    view = selection.view
    key = view.entity.join_key
    before_ms = view.lookback_ms
    span = Span(None if before_ms is None else surveyed.first_ms - before_ms, surveyed.last_ms)
    events = Events(warehouse, view.source)
    parts = workspace.parts(events.most(span) + surveyed.rows)
    slices = workspace.parts(surveyed.rows)
    slice_rows = -(-surveyed.rows // slices)
    events_schema = pa.schema([events.schema.field(name) for name in view.input_columns])
    with workspace.spill(slices, row_features(view)) as results:
        with (
            workspace.spill(parts, events_schema) as of_events,
            workspace.spill(parts, row_schema(view, spine.schema)) as of_rows,
        ):
            for table in events.read(view.input_columns, span):
                of_events.add(table, entity_parts(table[key], parts))
            for table in rows_of(view, spine):
                of_rows.add(table, entity_parts(table[key], parts))
            for part in range(parts):
                computed = features_at_rows(view, of_events.take(part), of_rows.take(part))
                results.add(computed, computed[ROW].to_numpy() // slice_rows)
        for number in range(slices):
            yield _in_order(results.take(number)).select(selection.names)


def _in_order(table: pa.Table) -> pa.Table:
    row = table[ROW].to_numpy()
    return table if is_sorted(row) else table.take(pa.array(np.argsort(row, kind="stable")))
