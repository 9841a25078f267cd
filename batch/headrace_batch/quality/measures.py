"""What the rules of a gate measure of one day of its table: one number for each, and its bounds."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from headrace_batch.days import begins_ms
from headrace_batch.quality.baselines import baseline_of, baselines
from headrace_batch.quality.distribution import stability_index
from headrace_batch.quality.tables import gated_table
from headrace_batch.warehouse import Warehouse, dataset_of
from headrace_features.definitions.durations import DAY_MS, HOUR_MS
from headrace_features.definitions.gates import Drift, Fresh, Nulls, TableRule, Unique, Volume
from headrace_schemas.counted import counted
from headrace_schemas.tables import EVENT_DATE

if TYPE_CHECKING:
    import pyarrow.dataset as pa_ds
    from deltalake import DeltaTable

    from headrace_batch.quality.baselines import Baseline
    from headrace_features.definitions.gates import Gate

_BATCH_ROWS = 131_072
_NO_ROWS = "no rows"


@dataclass(frozen=True, slots=True)
class Measure:
    """What a rule measures, and where that has to be, both bounds included.

    Attributes:
        rule: its name.
        value: None where there is nothing to compare, which is all right.
        unit: of the value and the bounds.
        told: in words what was compared.
    """

    rule: str
    value: float | None
    least: float | None
    most: float | None
    unit: str
    told: str


def spelled(value: float | None) -> str:
    """A measure as people read it."""
    return "–" if value is None else f"{value:,.4g}"


def bounds(measure: Measure) -> str:
    """Where a measure has to be, as people read it."""
    if measure.least is None:
        return f"at most {spelled(measure.most)}"
    if measure.most is None:
        return f"at least {spelled(measure.least)}"
    return f"{spelled(measure.least)} to {spelled(measure.most)}"


@dataclass(frozen=True, slots=True)
class Day:
    """One day of a gated table, as the table's log tells.

    Attributes:
        day: in UTC.
        of_days: how many rows each day has.
        content: another one wherever the day has got other files.
    """

    day: date
    of_days: Mapping[date, int]
    content: str

    @property
    def rows(self) -> int:
        """How many rows this one has."""
        return self.of_days.get(self.day, 0)


@dataclass(frozen=True, slots=True)
class TableDays:
    """The days of one version of a gated table.

    Attributes:
        table: that version.
        rows: how many each day has.
        files: those that each is in.
    """

    table: DeltaTable
    rows: Mapping[date, int]
    files: Mapping[date, Sequence[str]]

    @classmethod
    def of(cls, table: DeltaTable) -> TableDays:
        """Read the table's log."""
        added = pa.table(table.get_add_actions(flatten=True))
        days = added[f"partition.{EVENT_DATE}"].cast(pa.date32()).to_pylist()
        rows: dict[date, int] = {}
        files: dict[date, list[str]] = {}
        columns = (added["path"].to_pylist(), added["num_records"].to_pylist())
        for day, path, count in zip(days, *columns, strict=True):
            rows[day] = rows.get(day, 0) + count
            files.setdefault(day, []).append(path)
        return cls(table, rows, files)

    def day(self, day: date) -> Day:
        """One of them, or one without rows."""
        return Day(day, self.rows, self.content(day))

    def content(self, day: date) -> str:
        """See `Day`."""
        return content_of(self.files.get(day, ()))


def content_of(files: Iterable[str]) -> str:
    """What tells a day in some files from one in others."""
    return hashlib.sha256("\n".join(sorted(files)).encode()).hexdigest()


def measure(warehouse: Warehouse, gate: Gate, table: DeltaTable, day: Day) -> list[Measure]:
    """What the rules of a gate measure of a day in one version of its table, in their order.

    Raises:
        ConfigurationError: the table can't be read, or there is no baseline that a rule compares
            with.
    """
    known = baselines(warehouse) if any(isinstance(one, Drift) for one in gate.rules) else []
    # What lacks its baseline is said before anything is read.
    compared = {
        rule.name: baseline_of(known, gate, rule) for rule in gate.rules if isinstance(rule, Drift)
    }
    with warehouse.explaining(gated_table(gate)):
        rows = _Rows(dataset_of(table), gate.event_time, day)
        return [_measured(rule, rows, compared) for rule in gate.rules]


@dataclass(frozen=True, slots=True)
class _Rows:
    """The rows of a day."""

    dataset: pa_ds.Dataset
    event_time: str
    day: Day

    @property
    def count(self) -> int:
        return self.day.rows

    def columns(self, *names: str) -> Iterator[pa.Table]:
        """Some columns, piece by piece."""
        ours = pc.field(EVENT_DATE) == self.day.day
        batches = self.dataset.to_batches(columns=list(names), filter=ours, batch_size=_BATCH_ROWS)
        for batch in batches:
            yield pa.Table.from_batches([batch])


def _measured(rule: TableRule, rows: _Rows, compared: Mapping[str, Baseline]) -> Measure:
    match rule:
        case Volume():
            return _volume(rule, rows.day)
        case Unique():
            return _unique(rule, rows)
        case Fresh():
            return _fresh(rule, rows)
        case Nulls():
            return _nulls(rule, rows)
        case Drift():
            return _drift(rule, rows, compared[rule.name])


def _volume(rule: Volume, day: Day) -> Measure:
    before = sorted(one for one in day.of_days if one < day.day)[-rule.of_last :]
    told = counted(day.rows, "row") if day.rows else _NO_ROWS
    value = None
    if before:
        mean = sum(day.of_days[one] for one in before) / len(before)
        value = day.rows / mean
        told += f", {mean:,.0f} a day in the last {len(before)} with any"
    else:
        told += ", and none of a day before"
    return Measure(rule.name, value, rule.at_least, rule.at_most, "times the mean", told)


def _unique(rule: Unique, rows: _Rows) -> Measure:
    table = pa.concat_tables(rows.columns(*rule.columns)) if rows.count else None
    distinct = 0 if table is None else table.group_by(list(rule.columns)).aggregate([]).num_rows
    repeated = rows.count - distinct
    told = f"{counted(repeated, 'repetition')} in {counted(rows.count, 'row')}"
    return _share(rule.name, repeated, rows.count, rule.at_most, told)


def _fresh(rule: Fresh, rows: _Rows) -> Measure:
    end_ms = begins_ms(rows.day.day) + DAY_MS
    newest = [pc.max(one.column(0)).as_py() for one in rows.columns(rows.event_time)]
    newest_ms = max((one for one in newest if one is not None), default=None)
    # Of a day without rows the newest event is before its beginning: how far isn't known.
    behind_ms = DAY_MS if newest_ms is None else end_ms - newest_ms
    told = _NO_ROWS if newest_ms is None else f"the newest is of {_moment(newest_ms)}"
    return Measure(
        rule.name,
        behind_ms / HOUR_MS,
        None,
        rule.within_ms / HOUR_MS,
        "hours before the end of the day",
        told,
    )


def _nulls(rule: Nulls, rows: _Rows) -> Measure:
    nulls = sum(one.column(0).null_count for one in rows.columns(rule.column))
    told = f"{counted(nulls, 'null')} in {counted(rows.count, 'row')}"
    return _share(rule.name, nulls, rows.count, rule.at_most, told)


def _drift(rule: Drift, rows: _Rows, baseline: Baseline) -> Measure:
    if not rows.count:
        return Measure(rule.name, None, None, rule.at_most, "PSI", _NO_ROWS)
    counts = sum(
        (baseline.bins.counts(one.column(0)) for one in rows.columns(rule.column)),
        start=np.zeros(baseline.bins.count, np.int64),
    )
    told = (
        f"{counted(rows.count, 'row')}, {baseline.rows:,} in the baseline of {baseline.first} to"
        f" {baseline.last}"
    )
    value = stability_index(counts, baseline.shares)
    return Measure(rule.name, value, None, rule.at_most, "PSI", told)


def _share(rule: str, some: int, of: int, at_most: float, told: str) -> Measure:
    if not of:
        return Measure(rule, None, None, at_most, "of the rows", _NO_ROWS)
    return Measure(rule, some / of, None, at_most, "of the rows", told)


def _moment(time_ms: int) -> str:
    return f"{datetime.fromtimestamp(time_ms / 1000, UTC):%Y-%m-%d %H:%M:%S} UTC"
