"""What a history computes: the features of a view at rows of a spine."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa

from headrace_batch.history_spine import ROW
from headrace_features.kernel.compute import compute
from headrace_features.kernel.prepare import ARROW_TYPES, Spine

if TYPE_CHECKING:
    from headrace_features.definitions.views import FeatureView


def row_features(view: FeatureView) -> pa.Schema:
    """The position of a row, and the features of a view."""
    return pa.schema(
        [(ROW, pa.int64())]
        + [(feature.name, ARROW_TYPES[feature.type]) for feature in view.features]
    )


def features_at_rows(view: FeatureView, events: pa.Table, rows: pa.Table) -> pa.Table:
    """The features at rows of a spine, in their order.

    Args:
        view: the definition.
        events: all events of the entities that may matter.
        rows: `__row`, join key, event time and perhaps dedup key, named as in the source.
    """
    source = view.source
    spine = Spine(
        keys=rows[view.entity.join_key],
        times_ms=rows[source.event_time],
        current=rows[source.dedup_key] if source.dedup_key in rows.column_names else None,
    )
    return pa.table({ROW: rows[ROW], **compute(view, events, spine)}, schema=row_features(view))
