"""Features of a view for a spine, from tables of events: the in-process engine."""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from threading import Lock
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from headrace_features.definitions.aggregates import Kind
from headrace_features.kernel.aggregates import AGGREGATES, INVERTIBLE
from headrace_features.kernel.chunks import Chunk, chunks
from headrace_features.kernel.prepare import ARROW_TYPES, Prepared, Spine, prepare
from headrace_features.kernel.visibility import sees_runs
from headrace_schemas.columns import ColumnType

if TYPE_CHECKING:
    from headrace_features.definitions.views import Feature, FeatureView
    from headrace_features.kernel.arrays import Bools, Doubles, Ints

#: Rows that are worked on at once: few enough for caches and for memory that is used again at once,
#: enough for vectors.
CHUNK = 1 << 17
#: Rows of a chunk that are worked on at once where what a row sees is simply looked up: a hot
#: entity, which is never divided otherwise, then costs no more memory for each row than others.
PART = 1 << 15


def compute(view: FeatureView, events: pa.Table, spine: Spine) -> dict[str, pa.Array]:
    """The features of a view for each row of a spine, equal to the oracle bit for bit.

    Args:
        view: the definition.
        events: the view's input columns; no two rows share a dedup key. Events outside every
            window may be left out.
        spine: the rows asked for, in any order.

    Returns:
        An Arrow array for each feature, in the order of the view's features and of the spine.

    Raises:
        BadRecordError: a sum of integers outside int64.
    """
    return computed(view, prepare(view, events, spine))


def computed(view: FeatureView, prepared: Prepared) -> dict[str, pa.Array]:
    """The features of a view for each row of what was prepared; see `compute`."""
    rows = prepared.frame.rows
    results = {feature.name: _Result(feature, rows) for feature in view.features}

    def put(chunk: Chunk, features: Iterable[Feature]) -> None:
        target = prepared.row_order[chunk.rows]
        for feature in features:
            values, valid = AGGREGATES[feature.kind](chunk, feature)
            results[feature.name].put(target, values, valid)

    def fill(chunk: Chunk) -> None:
        quick = [f for f in view.features if f.kind in INVERTIBLE and _sees_runs(chunk, f)]
        for part in chunk.parts(PART) if quick else ():
            put(part, quick)
        put(chunk, (feature for feature in view.features if feature not in quick))

    if rows <= CHUNK:
        for chunk in chunks(prepared, CHUNK):
            fill(chunk)
    else:
        # numpy lets go of the interpreter lock. Below Spark, where a task has one core, Arrow
        # is told to use one thread.
        with ThreadPoolExecutor(pa.cpu_count(), "headrace-kernel") as threads:
            for _ in threads.map(fill, chunks(prepared, CHUNK)):
                pass
    return {name: result.array(prepared) for name, result in results.items()}


def _sees_runs(chunk: Chunk, feature: Feature) -> bool:
    return sees_runs(chunk.frame, feature.window, exclude_current=feature.exclude_current)


class _Result:
    """The values of one feature, filled in chunk by chunk."""

    def __init__(self, feature: Feature, rows: int) -> None:
        self.feature = feature
        self.chosen = feature.kind in (Kind.FIRST, Kind.LAST)
        floating = feature.type is ColumnType.FLOAT64 and not self.chosen
        self.values = np.zeros(rows, np.float64 if floating else np.int64)
        self.valid: Bools | None = None
        self._making_valid = Lock()

    def put(self, target: Ints, values: Ints | Doubles, valid: Bools | None) -> None:
        """Values for some rows; `valid` is None where none of them is null."""
        self.values[target] = values
        if valid is not None:
            with self._making_valid:
                if self.valid is None:
                    self.valid = np.ones(len(self.values), np.bool_)
            self.valid[target] = valid

    def array(self, prepared: Prepared) -> pa.Array:
        """The finished column, with the declared default where there was nothing to aggregate."""
        feature = self.feature
        missing = None if self.valid is None else ~self.valid
        if not self.chosen:
            values = self.values
            if missing is not None and feature.default is not None:
                values[missing] = feature.default
                missing = None
            return pa.array(values, ARROW_TYPES[feature.type], mask=missing)
        index = pa.array(self.values, mask=missing)
        column = prepared.events[str(feature.column)]
        taken = column.take(index).combine_chunks() if len(column) else None
        if isinstance(taken, pa.ChunkedArray):
            taken = pa.concat_arrays(taken.chunks) if taken.num_chunks else None
        if taken is None:
            taken = pa.nulls(len(index), column.type)
        if missing is None or feature.default is None:
            return taken
        return pc.if_else(pa.array(missing), pa.scalar(feature.default, column.type), taken)
