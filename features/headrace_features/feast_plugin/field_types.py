"""The types of columns as Feast names them."""

from __future__ import annotations

from feast.types import Bool, Float64, Int64, String

from headrace_schemas.columns import ColumnType

FIELD_TYPES = {
    ColumnType.INT64: Int64,
    ColumnType.FLOAT64: Float64,
    ColumnType.STRING: String,
    ColumnType.BOOL: Bool,
}
