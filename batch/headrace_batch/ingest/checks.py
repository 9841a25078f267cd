"""Checks rows against their contract, a batch at a time, with the reasons of the codec."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from headrace_batch.ingest.casting import Cast
from headrace_batch.ingest.contract import QUARANTINE_SCHEMA, Contract
from headrace_batch.ingest.raw_rows import Numbers, Problem, RawRows, RefusedRow
from headrace_batch.ingest.text_values import Bools
from headrace_features.row_rules import Known, RowRules, unlike
from headrace_schemas.columns import INT64_MAX, INT64_MIN, Column, ColumnRole, ColumnType
from headrace_schemas.event_times import MOST_AHEAD_MS, PLAUSIBLE, TimeRange, TimeUnit
from headrace_schemas.reasons import Reason
from headrace_schemas.tables import EVENT_DATE

_MS_PER_DAY = 86_400_000


@dataclass(frozen=True, slots=True)
class CheckedRows:
    """Consecutive rows of a file after the checks: each is in `good` or in `rejected`.

    `good` has the columns of the bronze table and `numbers` the row number of each of its rows.
    """

    good: pa.Table
    numbers: Numbers
    rejected: tuple[RefusedRow, ...]


@dataclass(frozen=True, slots=True)
class Circumstances:
    """What rows are held to besides their contract.

    Attributes:
        now_ms: an event that lies further ahead of it than one may be ahead of when it is sent is
            refused, ms UTC; None lets it be.
        arrived_ms: when the rows have arrived, ms UTC; None where nothing tells.
        known: by rule, the values that other sources have.
    """

    now_ms: int | None = None
    arrived_ms: int | None = None
    known: Known = field(default_factory=dict)


def check(
    raw: RawRows,
    columns: Sequence[Cast],
    contract: Contract,
    circumstances: Circumstances | None = None,
) -> CheckedRows:
    """The rows of a batch as events of a contract, and those that are none.

    Args:
        raw: the rows as the file has them, from which rejected rows take their text.
        columns: the same rows, column by column, in the types and the order of the contract.
        contract: what the rows have to fulfil, with the rules of its source.
        circumstances: what they are held to besides.
    """
    circumstances = circumstances or Circumstances()
    now_ms = circumstances.now_ms
    own = {contract.source.event_time, contract.source.available_at}
    by_now = PLAUSIBLE
    if now_ms is not None:
        latest_ms = min(PLAUSIBLE.latest_ms, now_ms + MOST_AHEAD_MS + 1)
        by_now = TimeRange(PLAUSIBLE.earliest_ms, latest_ms)
    found = [
        (Problem(reason, column.name), rows)
        for column, result in zip(contract.columns, columns, strict=True)
        for reason, rows in _problems(result, column, by_now if column.name in own else PLAUSIBLE)
    ]
    read = pa.table([result.values for result in columns], schema=contract.schema)
    events = _Sifted(raw, read)
    events.reject(found)
    rules = RowRules(contract.source, circumstances.known)
    broken = rules.broken_rows(events.good, circumstances.arrived_ms)
    events.reject((Problem(Reason.RULE_BROKEN, name), rows) for name, rows in broken.items())
    good = with_date(events.good, contract.source.event_time)
    return CheckedRows(good, raw.numbers[events.places], raw.refused + tuple(events.rejected))


def quarantined(rows: list[RefusedRow], ingest_id: str, file: str) -> pa.Table:
    """Rejected rows as they are stored, in the order of the file."""
    rows = sorted(rows, key=lambda row: row.number)
    return pa.table(
        {
            "ingest_id": pa.array([ingest_id] * len(rows), pa.string()),
            "file": pa.array([file] * len(rows), pa.string()),
            "row_number": pa.array([row.number for row in rows], pa.int64()),
            "reasons": [[problem.code for problem in row.problems] for row in rows],
            "columns": [[_column_of(problem) for problem in row.problems] for row in rows],
            "raw": pa.array([row.text for row in rows], pa.string()),
            "event": pa.array([row.event for row in rows], pa.string()),
        },
        schema=QUARANTINE_SCHEMA,
    )


def with_date(good: pa.Table, event_time: str) -> pa.Table:
    """The rows with the day of their event time, in UTC."""
    times = good.column(event_time).to_numpy()
    days = np.floor_divide(times, _MS_PER_DAY).astype(np.int32)
    return good.append_column(EVENT_DATE, pa.array(days).cast(pa.date32()))


class _Sifted:
    """Rows of which more and more turn out to be bad."""

    def __init__(self, raw: RawRows, read: pa.Table) -> None:
        self._raw = raw
        self.good = read
        #: Where in the batch each of the good ones stands.
        self.places = np.arange(read.num_rows)
        self.rejected: list[RefusedRow] = []

    def reject(self, problems: Iterable[tuple[Problem, Bools]]) -> None:
        """Take those out that have any of some problems, each told for the good rows so far."""
        found = list(problems)
        if not found:
            return
        bad = np.logical_or.reduce([rows for _, rows in found])
        if not bad.any():
            return
        rows = np.flatnonzero(bad)
        of: list[list[Problem]] = [[] for _ in rows]
        for problem, has_it in found:
            for place in np.flatnonzero(has_it[rows]):
                of[place].append(problem)
        places = self.places[rows]
        texts = self._raw.texts_at(places)
        events = self.good.take(pa.array(rows)).to_pylist()
        for number, one, text, event in zip(
            self._raw.numbers[places], of, texts, events, strict=True
        ):
            read = msgspec.json.encode(event).decode()
            self.rejected.append(RefusedRow(int(number), tuple(one), text, read))
        self.good = self.good.filter(pa.array(~bad))
        self.places = self.places[~bad]


def _column_of(problem: Problem) -> str:
    return "" if problem.reason is Reason.RULE_BROKEN else problem.column


def _problems(result: Cast, column: Column, plausible: TimeRange) -> Iterator[tuple[Reason, Bools]]:
    """Reasons against the rows of a column; no row has two of them."""
    unread = np.zeros(len(result.values), np.bool_)
    for reason, rows in result.refused:
        unread |= rows
        yield reason, rows
    for reason, rows in _problems_of_values(result.values, column, plausible, unread):
        if rows.any():
            yield reason, rows


def _problems_of_values(
    values: pa.Array, column: Column, plausible: TimeRange, unread: Bools
) -> Iterator[tuple[Reason, Bools]]:
    is_key = column.role is ColumnRole.IDENTIFIER
    if values.null_count and (is_key or not column.nullable):
        null = _flags(pc.is_null(values)) & ~unread
        yield (Reason.NULL_KEY if is_key else Reason.NULL_VALUE), null
    if column.type is ColumnType.STRING:
        yield from _problems_of_text(values, column)
    elif column.role is ColumnRole.TIME_MS:
        yield from _problems_of_times(values, column, plausible)
    elif column.type is ColumnType.INT64:
        yield from _problems_of_size(values, *_integer_bounds(column))
    elif column.type is ColumnType.FLOAT64:
        finite = pc.is_finite(values)
        yield Reason.NOT_FINITE, ~_flags(pc.fill_null(finite, fill_value=True))
        kept = pc.if_else(finite, values, pa.scalar(None, pa.float64()))
        yield from _problems_of_size(kept, column.minimum, column.maximum)


def _problems_of_times(
    values: pa.Array, column: Column, plausible: TimeRange
) -> Iterator[tuple[Reason, Bools]]:
    inside = _within(values, plausible.earliest_ms, plausible.latest_ms)
    outside = ~inside & _flags(pc.is_valid(values))
    if outside.any():
        other_unit = np.zeros(len(values), np.bool_)
        for unit in TimeUnit:
            other_unit |= _within(values, *plausible.in_unit(unit))
        yield Reason.EVENT_TIME_WRONG_UNIT, outside & other_unit
        yield Reason.EVENT_TIME_OUT_OF_RANGE, outside & ~other_unit
    kept = pc.if_else(pa.array(inside), values, pa.scalar(None, pa.int64()))
    yield from _problems_of_size(kept, *_integer_bounds(column))


def _within(values: pa.Array, first: int, after: int) -> Bools:
    return _flags(pc.and_(pc.greater_equal(values, first), pc.less(values, after)))


def _integer_bounds(column: Column) -> tuple[int | None, int | None]:
    """The bounds as integers of 64 bits, so that nothing is compared as a double."""
    low = None if column.minimum is None else math.ceil(column.minimum)
    high = None if column.maximum is None else math.floor(column.maximum)
    return (
        None if low is None or low <= INT64_MIN else low,
        None if high is None or high >= INT64_MAX else high,
    )


def _problems_of_size(
    values: pa.Array, minimum: float | None, maximum: float | None
) -> Iterator[tuple[Reason, Bools]]:
    outside = np.zeros(len(values), np.bool_)
    if minimum is not None:
        outside |= _flags(pc.less(values, pa.scalar(minimum, values.type)))
    if maximum is not None:
        outside |= _flags(pc.greater(values, pa.scalar(maximum, values.type)))
    yield Reason.OUT_OF_RANGE, outside


def _problems_of_text(values: pa.Array, column: Column) -> Iterator[tuple[Reason, Bools]]:
    empty = np.zeros(len(values), np.bool_)
    if column.role is ColumnRole.IDENTIFIER:
        empty = _flags(pc.equal(values, ""))
        yield Reason.NULL_KEY, empty
    bad = np.zeros(len(values), np.bool_)
    if column.min_length is not None or column.max_length is not None:
        length = pc.utf8_length(values)
        if column.min_length is not None:
            bad |= _flags(pc.less(length, column.min_length))
        if column.max_length is not None:
            bad |= _flags(pc.greater(length, column.max_length))
    if column.pattern is not None:
        # By Python's rules for regular expressions, which the codec follows; Arrow's differ.
        bad |= unlike(pa.chunked_array([values]), re.compile(column.pattern).search)
    yield Reason.BAD_FORMAT, bad & ~empty


def _flags(values: pa.Array) -> Bools:
    filled = pc.fill_null(values, fill_value=False)
    return np.asarray(filled.to_numpy(zero_copy_only=False), np.bool_)
