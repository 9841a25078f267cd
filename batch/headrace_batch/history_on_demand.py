"""On-demand features of a history: what rows bring for them, and their values."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import pyarrow as pa

from headrace_features.definitions.on_demand import AnySelection, OnDemandSelection
from headrace_features.definitions.views import SEPARATOR
from headrace_features.on_demand import column_of, may_be_request, request_column
from headrace_schemas.errors import ConfigurationError


def check_request(asked: Iterable[AnySelection], spine: pa.Schema) -> None:
    """Check that a spine has what requests bring.

    Raises:
        ConfigurationError: a column is missing or has a type that can't stand for it.
    """
    for selection in asked:
        if not isinstance(selection, OnDemandSelection):
            continue
        for name, kind in selection.view.request_types.items():
            if name not in spine.names:
                raise ConfigurationError(
                    f"the spine has no column {name!r}, which on-demand view {selection.view.name}"
                    f" takes from the request; it has {', '.join(spine.names) or 'none'}",
                    hint="a row of a spine brings what a request would",
                )
            found = spine.field(name).type
            if not may_be_request(kind, found):
                raise ConfigurationError(
                    f"column {name!r} of the spine is {found}, expected {kind}",
                    hint="convert it before",
                )


def result_columns(
    asked: Iterable[AnySelection], spine: pa.Table, computed: Mapping[str, pa.ChunkedArray]
) -> list[pa.ChunkedArray]:
    """The columns of the features asked for, in their order.

    Args:
        asked: the features.
        spine: rows, with what requests bring.
        computed: the columns of what engines have computed for these rows, by `view__feature`.

    Raises:
        BadRecordError: a value that a request brings doesn't fit.
    """
    columns: list[pa.ChunkedArray] = []
    for selection in asked:
        view = selection.view
        if not isinstance(selection, OnDemandSelection):
            columns.extend(computed[f"{view.name}{SEPARATOR}{name}"] for name in selection.names)
            continue
        row = dict(computed)
        for name, kind in selection.view.request_types.items():
            row[name] = request_column(name, kind, spine[name])
        features = (selection.view.feature(name) for name in selection.names)
        columns.extend(column_of(feature, row, len(spine)) for feature in features)
    return columns
