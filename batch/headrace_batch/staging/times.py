"""Times in the columns of a training set."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as pt


def in_ms(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Integers, or timestamps as ms UTC, as int64; a null stays one."""
    if pt.is_timestamp(column.type):
        column = pc.cast(column, pa.timestamp("ms", column.type.tz), safe=False)
    return column.cast(pa.int64())
