"""A history put together: the spine as it is and, beside it, the features that are asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TypeAlias

import pyarrow as pa

from headrace_batch.history_files import result_file, spine_file
from headrace_batch.history_on_demand import check_request, result_columns
from headrace_batch.history_spine import (
    SpineRows,
    Survey,
    result_schema,
    row_columns,
    survey,
)
from headrace_features.definitions.aggregates import Aggregate, Columns, Count
from headrace_features.definitions.on_demand import AnySelection, read_for
from headrace_features.definitions.views import SEPARATOR, FeatureView, Selection
from headrace_features.definitions.windows import Window
from headrace_features.kernel.prepare import ARROW_TYPES
from headrace_schemas.errors import ConfigurationError

#: Computes some features for every row of a surveyed spine; tables in the order of its rows.
Computation: TypeAlias = Callable[[Selection, SpineRows, Survey], Iterator[pa.Table]]


def require_columns(selections: Sequence[AnySelection], spine: pa.Schema) -> None:
    """See that a spine has what some features need.

    Raises:
        ConfigurationError: a column is missing or has a type that can't stand for it.
    """
    check_request(selections, spine)
    for selection in read_for(selections):
        row_columns(selection.view, spine)


def history_table(
    selections: Sequence[AnySelection], spine: pa.Table, features: Computation
) -> pa.Table:
    """The columns of a spine in memory, and after them the features."""
    schema = result_schema(selections, spine.schema)
    require_columns(selections, spine.schema)
    computed = read_for(selections)
    rows = SpineRows(spine.schema, len(spine), lambda columns: iter([spine.select(columns)]))
    surveyed = survey(computed, rows)
    columns: dict[str, pa.ChunkedArray] = {}
    for selection in computed:
        tables = features(narrowed(selection), rows, surveyed) if surveyed.rows else ()
        columns.update(_gathered(selection, tables))
    return pa.table(spine.columns + result_columns(selections, spine, columns), schema=schema)


def history_file(
    selections: Sequence[AnySelection],
    spine: str,
    out: str,
    storage_options: Mapping[str, str],
    features: Computation,
) -> int:
    """The same from file to file, with no more than some pieces in memory; returns the rows."""
    if spine == out:
        raise ConfigurationError(
            f"the result {out!r} would take the place of its spine", hint="name another file"
        )
    rows = spine_file(spine, storage_options)
    schema = result_schema(selections, rows.schema)
    require_columns(selections, rows.schema)
    computed = read_for(selections)
    surveyed = survey(computed, rows)
    streams = [_Stream(features(narrowed(selection), rows, surveyed)) for selection in computed]
    with result_file(out, schema, storage_options) as writer:
        for table in rows.read(rows.schema.names):
            columns: dict[str, pa.ChunkedArray] = {}
            for selection, stream in zip(computed, streams, strict=True):
                columns.update(_named(selection, stream.take(len(table))))
            found = table.columns + result_columns(selections, table, columns)
            writer.write_table(pa.table(found, schema=schema))
    return surveyed.rows


def narrowed(selection: Selection) -> Selection:
    """The same features of a view that computes little else.

    An aggregate stays with the windows for which one of its features is wanted.
    """
    view = selection.view
    wanted = [feature for feature in view.features if feature.name in selection.names]

    def windows(aggregate: Aggregate) -> tuple[Window, ...]:
        return tuple(
            window
            for window in aggregate.windows
            if any(
                feature.kind is aggregate.kind
                and feature.window == window
                and feature.column in _columns(aggregate)
                and feature.exclude_current == aggregate.exclude_current
                for feature in wanted
            )
        )

    kept = [(aggregate, windows(aggregate)) for aggregate in view.aggregates]
    narrow = FeatureView(
        name=view.name,
        version=view.version,
        entity=view.entity,
        source=view.source,
        aggregates=[replace(aggregate, windows=some) for aggregate, some in kept if some],
        filter=view.filter,
        derived=view.derived,
    )
    return Selection(narrow, selection.names)


def _columns(aggregate: Aggregate) -> tuple[str | None, ...]:
    if isinstance(aggregate, Count):
        return (None,)
    if isinstance(aggregate.column, Columns):
        return aggregate.column.names
    return (aggregate.column,)


def _gathered(selection: Selection, tables: Iterable[pa.Table]) -> dict[str, pa.ChunkedArray]:
    features = (selection.view.feature(name) for name in selection.names)
    own = pa.schema([(feature.name, ARROW_TYPES[feature.type]) for feature in features])
    return _named(selection, pa.concat_tables([own.empty_table(), *tables]))


def _named(selection: Selection, table: pa.Table) -> dict[str, pa.ChunkedArray]:
    names = (f"{selection.view.name}{SEPARATOR}{name}" for name in selection.names)
    return dict(zip(names, table.columns, strict=True))


class _Stream:
    """Tables that are read on in pieces of another size."""

    def __init__(self, tables: Iterator[pa.Table]) -> None:
        self._tables = tables
        self._held: list[pa.Table] = []
        self._rows = 0

    def take(self, rows: int) -> pa.Table:
        """The next so many rows."""
        while self._rows < rows:
            table = next(self._tables)
            self._held.append(table)
            self._rows += len(table)
        joined = pa.concat_tables(self._held)
        self._held, self._rows = [joined.slice(rows)], self._rows - rows
        return joined.slice(0, rows)
