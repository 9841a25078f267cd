"""A day whose files were put together has the rows that it had; one that was changed has not."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Literal

import pyarrow as pa
import pytest
from deltalake import DeltaTable, write_deltalake

from headrace_batch.quality.measures import TableDays
from headrace_batch.quality.same_rows import put_together

DAY, OTHER = date(2018, 4, 1), date(2018, 4, 2)


def write(
    place: Path, day: date, value: int, mode: Literal["append", "overwrite"] = "append"
) -> None:
    rows = pa.table({"value": [value], "event_date": pa.array([day], pa.date32())})
    write_deltalake(place, rows, partition_by=["event_date"], mode=mode)


def read(place: Path) -> TableDays:
    return TableDays.of(DeltaTable(place))


def contents(days: TableDays) -> dict[date, str]:
    return {day: days.content(day) for day in (DAY, OTHER)}


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A table with two days in two files each."""
    for day in (DAY, OTHER):
        for value in (1, 2):
            write(tmp_path / "table", day, value)
    return tmp_path / "table"


def test_rows_are_the_same_before_and_after_whatever_was_put_together(place: Path) -> None:
    before = read(place)
    for day in (DAY, OTHER):
        DeltaTable(place).optimize.compact([("event_date", "=", str(day))])
    now = read(place)
    assert contents(now) != contents(before)
    assert put_together(now, contents(before)) == {DAY, OTHER}
    # Who reads an older version than the one that was judged meets the same rows.
    assert put_together(before, contents(now)) == {DAY, OTHER}
    assert put_together(now, contents(now)) == set()


@pytest.mark.parametrize("first", [True, False])
def test_a_day_that_has_got_rows_is_another_one_and_those_beside_it_are_not(
    place: Path, *, first: bool
) -> None:
    before = read(place)
    if first:
        write(place, DAY, 3)
    DeltaTable(place).optimize.compact()
    if not first:
        write(place, DAY, 3)
    now = read(place)
    assert put_together(now, contents(before)) == {OTHER}
    assert put_together(before, contents(now)) == {OTHER}


def test_rows_that_were_replaced_are_others(place: Path) -> None:
    before = read(place)
    DeltaTable(place).optimize.compact()
    write(place, DAY, 7, "overwrite")
    for day in (DAY, OTHER, OTHER):
        write(place, day, 7)
    DeltaTable(place).optimize.compact()
    assert put_together(read(place), contents(before)) == set()


def test_rows_count_as_others_where_the_log_no_longer_tells(place: Path) -> None:
    before = read(place)
    DeltaTable(place).optimize.compact()
    table = DeltaTable(place)
    table.create_checkpoint()
    (place / "_delta_log" / f"{table.version():020d}.json").unlink()
    assert put_together(read(place), contents(before)) == set()
