"""What a backfill computes: the features of a view at each of its events."""

from __future__ import annotations

from datetime import UTC, date, datetime

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from headrace_batch.days import begins_ms
from headrace_features.definitions.durations import DAY_MS
from headrace_features.definitions.views import FeatureView
from headrace_features.kernel.compute import compute
from headrace_features.kernel.prepare import ARROW_TYPES, Spine, apply_expressions
from headrace_schemas.errors import ConfigurationError
from headrace_schemas.tables import EVENT_DATE


def feature_columns(view: FeatureView) -> pa.Schema:
    """The columns of a feature table: join key, event time, dedup key, date, and the features."""
    source = view.source
    names = dict.fromkeys((view.entity.join_key, source.event_time, source.dedup_key))
    return pa.schema(
        [(name, ARROW_TYPES[source.column(name).type]) for name in names]
        + [(EVENT_DATE, pa.date32())]
        + [(feature.name, ARROW_TYPES[feature.type]) for feature in view.features]
    )


def features_at_events(
    view: FeatureView, events: pa.Table, first_ms: int, last_ms: int
) -> pa.Table:
    """The features at each event of a span, as of its own event time.

    Args:
        view: the definition; events that its filter drops have no row.
        events: all events of some entities, from the view's lookback before the span to its end.
        first_ms, last_ms: the span, both ends included.

    Returns:
        The columns of `feature_columns`, in the order of the events.
    """
    source = view.source
    kept = apply_expressions(view, events).select(events.column_names)
    inside = pc.and_(
        pc.greater_equal(kept[source.event_time], first_ms),
        pc.less_equal(kept[source.event_time], last_ms),
    )
    rows = kept if pc.all(inside, min_count=0).as_py() else kept.filter(inside)
    spine = Spine(
        keys=rows[view.entity.join_key],
        times_ms=rows[source.event_time],
        current=rows[source.dedup_key],
    )
    schema = feature_columns(view)
    columns = {name: rows[name] for name in schema.names if name in rows.column_names}
    columns[EVENT_DATE] = dates_of(rows[source.event_time])
    columns.update(compute(view, kept, spine))
    return pa.table([columns[name] for name in schema.names], schema=schema)


def dates_of(times_ms: pa.ChunkedArray) -> pa.Array:
    """The UTC date of each time."""
    days = np.floor_divide(times_ms.to_numpy(), DAY_MS).astype(np.int32)
    return pa.array(days).cast(pa.date32())


def day_of(time_ms: int) -> date:
    """The UTC date of a time."""
    return datetime.fromtimestamp(time_ms // 1000, UTC).date()


def span_ms(first: date, last: date) -> tuple[int, int]:
    """The first and the last millisecond of some days in UTC, both days included.

    Raises:
        ConfigurationError: there is no day between them.
    """
    if first > last:
        raise ConfigurationError(
            f"there are no days from {first} to {last}", hint="the first day comes first"
        )
    return begins_ms(first), begins_ms(last) + DAY_MS - 1
