"""A backfill in-process: entities in parts that fit into memory, days in commits that do."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, timedelta
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from headrace_batch.backfill_rows import feature_columns, features_at_events, span_ms
from headrace_batch.backfill_table import FeatureTable
from headrace_batch.local_events import Events, Span
from headrace_batch.local_spill import Workspace, entity_parts
from headrace_batch.warehouse import Warehouse
from headrace_schemas.tables import EVENT_DATE

if TYPE_CHECKING:
    from headrace_features.definitions.views import FeatureView
    from headrace_features.kernel.arrays import Ints


def backfill(  # noqa: PLR0913, PLR0917 - see `Engine.backfill`
    warehouse: Warehouse,
    workspace: Workspace,
    view: FeatureView,
    first: date,
    last: date,
    asked: Callable[[int], None],
) -> int:
    """Write the features at every event of some days; returns the number of rows.

    Args:
        warehouse: where events and features are.
        workspace: how much is in memory at once, and how many rows in a commit.
        view: the definition.
        first, last: the days, both included.
        asked: whether the events of a version of their table may come into the history.

    Raises:
        RetryableError: another process writes the table, or has taken it over.
    """
    first_ms, last_ms = span_ms(first, last)
    before_ms = view.lookback_ms
    span = Span(None if before_ms is None else first_ms - before_ms, last_ms)
    with FeatureTable.held(warehouse, view) as table:
        events = Events(warehouse, view.source)
        asked(events.version)
        parts = workspace.parts(events.most(span))
        groups = _groups_of_days(events, Span(first_ms, last_ms), first, last, workspace.rows)
        schema = pa.schema([events.schema.field(name) for name in view.input_columns])
        rows = 0
        with (
            workspace.spill(parts, schema) as waiting,
            workspace.spill(len(groups), feature_columns(view)) as results,
        ):
            for read in events.read(view.input_columns, span):
                waiting.add(read, entity_parts(read[view.entity.join_key], parts))
            for part in range(parts):
                computed = features_at_events(view, waiting.take(part), first_ms, last_ms)
                results.add(computed, _group_of(computed[EVENT_DATE], groups))
                rows += len(computed)
            for number, (from_day, to_day) in enumerate(groups):
                table.replace(from_day, to_day, results.take(number))
    return rows


def _groups_of_days(
    events: Events, span: Span, first: date, last: date, rows: int
) -> list[tuple[date, date]]:
    """Successive days whose events together are few enough for one commit, without a gap."""
    starts, held = [first], 0
    for day, count in events.by_day(span):
        if held and held + count > rows:
            starts.append(day)
            held = 0
        held += count
    ends = [start - timedelta(days=1) for start in starts[1:]]
    return list(zip(starts, [*ends, last], strict=True))


def _group_of(days: pa.ChunkedArray, groups: list[tuple[date, date]]) -> Ints:
    starts = pa.array([start for start, _ in groups], pa.date32())
    day: Ints = days.cast(pa.int32()).to_numpy()
    return np.searchsorted(starts.cast(pa.int32()).to_numpy(), day, side="right") - 1
