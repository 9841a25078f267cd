"""The spine of a history: checked against a view, and its rows in the form that engines read."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as pt

from headrace_features.definitions.on_demand import AnySelection
from headrace_features.definitions.views import SEPARATOR, FeatureView, Selection
from headrace_features.kernel.prepare import ARROW_TYPES
from headrace_schemas.errors import BadRecordError, ConfigurationError
from headrace_schemas.event_times import PLAUSIBLE, time_problem
from headrace_schemas.reasons import Reason

#: The time of a row, whatever the sources call theirs.
EVENT_TIME = "event_time"
#: The position of a row in its spine; no column of a source begins with an underscore.
ROW = "__row"
Array = np.ndarray[Any, Any]


@dataclass(frozen=True, slots=True)
class SpineRows:
    """The rows of a spine, wherever they are.

    Attributes:
        schema: all its columns.
        count: number of rows.
        read: tables with the named columns, from the first row to the last, at each call anew.
    """

    schema: pa.Schema
    count: int
    read: Callable[[Sequence[str]], Iterator[pa.Table]]


@dataclass(frozen=True, slots=True)
class Survey:
    """What a spine that passed every check holds: its rows lie between two times."""

    rows: int
    first_ms: int
    last_ms: int


def result_schema(selections: Iterable[AnySelection], spine: pa.Schema) -> pa.Schema:
    """The columns of a spine and after them a column `view__feature` for each feature.

    Raises:
        ConfigurationError: two columns would have the same name.
    """
    schema = spine
    for selection in selections:
        for name in selection.names:
            feature = selection.view.feature(name)
            column = f"{selection.view.name}{SEPARATOR}{name}"
            schema = schema.append(pa.field(column, ARROW_TYPES[feature.type]))
    for name in schema.names:
        if len(schema.get_all_field_indices(name)) > 1:
            raise ConfigurationError(
                f"the result would have two columns {name!r}",
                hint="rename the column of the spine, or ask for the feature once",
            )
    return schema


def row_columns(view: FeatureView, spine: pa.Schema) -> dict[str, str]:
    """Which columns of a spine a view reads: the column of its source → that of the spine.

    The dedup key is among them where the spine has it and the view leaves out the current event.

    Raises:
        ConfigurationError: a column is missing or has a type that can't stand for it.
    """
    key, source = view.entity.join_key, view.source
    columns = {key: key, source.event_time: EVENT_TIME}
    if (
        any(feature.exclude_current for feature in view.features)
        and source.dedup_key in spine.names
    ):
        columns[source.dedup_key] = source.dedup_key
    for column, name in columns.items():
        if name not in spine.names:
            raise ConfigurationError(
                f"the spine has no column {name!r}, which feature view {view.name} needs; "
                f"it has {', '.join(spine.names) or 'none'}",
                hint="a row is an entity's key and an event_time",
            )
        found = spine.field(name).type
        if pt.is_null(found):
            continue  # a column without a single value, such as pandas gives an empty frame
        if name == EVENT_TIME:
            require_times(name, found)
            continue
        expected = ARROW_TYPES[source.column(column).type]
        if not _can_be_key(found, expected):
            raise ConfigurationError(
                f"column {name!r} of the spine is {found}, expected {expected} as in the events"
                f" of {source.name}",
                hint="convert it before",
            )
    return columns


def require_times(name: str, found: pa.DataType) -> None:
    """See that a column of a spine is of a type that times may have.

    Raises:
        ConfigurationError: it is not.
    """
    # A column without a single value is of the type null.
    if not (pt.is_integer(found) or pt.is_timestamp(found) or pt.is_null(found)):
        raise ConfigurationError(
            f"column {name!r} of the spine is {found}, expected integer milliseconds UTC or a"
            " timestamp",
            hint="convert it before",
        )


def row_schema(view: FeatureView, spine: pa.Schema) -> pa.Schema:
    """The columns of `checked_rows`."""
    types = {name: ARROW_TYPES[view.source.column(name).type] for name in row_columns(view, spine)}
    return pa.schema([(ROW, pa.int64()), *types.items()])


def checked_rows(view: FeatureView, spine: pa.Table, first_row: int) -> pa.Table:
    """Rows of a spine in terms of a view's source: `__row`, join key, event time, dedup key.

    Args:
        view: the definition.
        spine: the columns that `row_columns` names.
        first_row: the position of the first of these rows in the whole spine.

    Raises:
        BadRecordError: a key or time is null, or none; the message names the row, counted from 0.
    """
    rows = np.arange(first_row, first_row + len(spine))
    columns = {ROW: pa.array(rows)}
    for column, name in row_columns(view, spine.schema).items():
        values = spine[name]
        if name == EVENT_TIME:
            columns[column] = checked_times(values, rows)
            continue
        if column != view.source.dedup_key:
            _require_values(name, values, rows, Reason.NULL_KEY)
        columns[column] = _as_key(name, values, ARROW_TYPES[view.source.column(column).type])
    return pa.table(columns)


def checked_times(values: pa.ChunkedArray, rows: Array, name: str = EVENT_TIME) -> pa.ChunkedArray:
    """The times of some rows of a spine, as milliseconds UTC.

    Args:
        values: of a type that `require_times` lets pass.
        rows: the position of each in the whole spine.
        name: of their column.

    Raises:
        BadRecordError: one is null, or no plausible time; the message names its row.
    """
    _require_values(name, values, rows, Reason.NULL_VALUE)
    if pt.is_timestamp(values.type):
        times_ms = _in_ms(values)
    elif values.type == pa.uint64():
        times_ms = pc.min_element_wise(values, pa.scalar(2**63 - 1, pa.uint64())).cast(pa.int64())
    else:
        times_ms = values.cast(pa.int64())
    wrong = pc.or_(
        pc.less(times_ms, PLAUSIBLE.earliest_ms), pc.greater_equal(times_ms, PLAUSIBLE.latest_ms)
    )
    place = pc.index(wrong, True).as_py()
    if place >= 0:
        problem = time_problem(times_ms[place].as_py())
        if problem is not None:
            raise BadRecordError(
                problem.reason,
                f"row {rows[place]} of the spine: {name} {problem.message}",
                field=name,
            )
    return times_ms


def survey(selections: Iterable[Selection], spine: SpineRows) -> Survey:
    """Check every row of a spine for every view, and find out between which times they are."""
    views = [selection.view for selection in selections]
    if not views:
        return Survey(spine.count, PLAUSIBLE.earliest_ms, PLAUSIBLE.latest_ms)
    wanted = {name for view in views for name in row_columns(view, spine.schema).values()}
    first_ms, last_ms, row = PLAUSIBLE.latest_ms, PLAUSIBLE.earliest_ms, 0
    for table in spine.read(sorted(wanted)):
        for view in views:
            times = pc.min_max(checked_rows(view, table, row)[view.source.event_time])
            if len(table):
                first_ms = min(first_ms, times["min"].as_py())
                last_ms = max(last_ms, times["max"].as_py())
        row += len(table)
    return Survey(row, first_ms, last_ms)


def rows_of(view: FeatureView, spine: SpineRows) -> Iterator[pa.Table]:
    """All rows of a spine as `checked_rows`, table by table."""
    row = 0
    for table in spine.read(sorted(set(row_columns(view, spine.schema).values()))):
        yield checked_rows(view, table, row)
        row += len(table)


def _can_be_key(found: pa.DataType, wanted: pa.DataType) -> bool:
    """Whether keys are of the kind that the events have: a number and its text are two keys.

    Made one of the other, 7 and "7" would be the same, and "07" an entity that nobody knows.
    """
    if pt.is_dictionary(found):
        found = found.value_type
    if pt.is_integer(wanted):
        return bool(pt.is_integer(found))
    return bool(pt.is_string(found) or pt.is_large_string(found))


def _require_values(name: str, values: pa.ChunkedArray, rows: Array, reason: Reason) -> None:
    if values.null_count:
        row = rows[pc.index(values.is_null(), True).as_py()]
        raise BadRecordError(
            reason,
            f"row {row} of the spine has no {name}",
            field=name,
            hint="give it one, or leave the row out",
        )


def _as_key(name: str, values: pa.ChunkedArray, wanted: pa.DataType) -> pa.ChunkedArray:
    if pt.is_dictionary(values.type):
        values = values.cast(values.type.value_type)
    try:
        return values.cast(wanted)
    except pa.ArrowInvalid as error:
        raise BadRecordError(
            Reason.WRONG_TYPE,
            f"column {name!r} of the spine is {values.type} and can't be made {wanted}: {error}",
            field=name,
        ) from error


def _in_ms(values: pa.ChunkedArray) -> pa.ChunkedArray:
    """Milliseconds UTC of timestamps; what is below a millisecond is cut off downwards."""
    ticks = values.cast(pa.int64()).to_numpy()
    match values.type.unit:
        case "s":
            # Whatever is cut off here is far from any plausible time.
            times_ms = np.clip(ticks, -(2**52), 2**52) * 1_000
        case "ms":
            times_ms = ticks
        case unit:
            times_ms = np.floor_divide(ticks, 1_000 if unit == "us" else 1_000_000)
    return pa.chunked_array([times_ms], pa.int64())
