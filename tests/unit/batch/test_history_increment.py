"""A history that is brought up day by day: only what is new or has changed is written."""

from __future__ import annotations

from datetime import date, timedelta
from functools import partial
from pathlib import Path

import pyarrow as pa
import pytest

from headrace_batch.history_increment import bring_up_to, write_all
from headrace_batch.local_engine import LocalEngine
from headrace_batch.warehouse import Warehouse
from headrace_features import FeatureView
from headrace_features.engines import BackfillReport
from headrace_features.fraud.definitions import card_activity
from headrace_schemas.settings import Settings
from headrace_schemas.tables import features_table
from lakes import write_events
from late_lakes import DAYS, VIEWS, Lake, tables


def increment(settings: Settings, view: FeatureView, day: date) -> list[tuple[date, date]]:
    """Bring a history up to a day; the spans of days that were written."""
    write = partial(LocalEngine(settings).backfill, view)
    reports = bring_up_to(Warehouse.of(settings), view, day, write)
    return [(report.first, report.last) for report in reports]


def rows_of(settings: Settings, view: FeatureView) -> pa.Table:
    found = Warehouse.of(settings).read(features_table(view.name, view.version))
    return found.sort_by([(view.source.dedup_key, "ascending")])


@pytest.mark.parametrize("name", VIEWS)
def test_days_one_by_one_though_events_come_late_are_one_backfill_of_all(
    name: str, tmp_path: Path
) -> None:
    view, lake = VIEWS[name], Lake(tmp_path / "daily", seed=1)
    for day in DAYS:
        lake.until(day)
        increment(lake.settings, view, day)
    direct = Lake(tmp_path / "direct", seed=1)
    direct.until(DAYS[-1])
    LocalEngine(direct.settings).backfill(view, DAYS[0] - timedelta(30), DAYS[-1])
    assert rows_of(lake.settings, view).equals(rows_of(direct.settings, view))


def test_a_day_without_late_events_is_written_alone_and_once(tmp_path: Path) -> None:
    lake = Lake(tmp_path, seed=2, late=0.0)
    lake.until(DAYS[0])
    ((_, last),) = increment(lake.settings, card_activity, DAYS[0])
    assert last == DAYS[0]
    lake.until(DAYS[1])
    assert increment(lake.settings, card_activity, DAYS[1]) == [(DAYS[1], DAYS[1])]
    assert increment(lake.settings, card_activity, DAYS[1]) == []
    assert increment(lake.settings, card_activity, DAYS[0]) == []


def test_a_late_event_has_the_days_written_whose_windows_reach_it(tmp_path: Path) -> None:
    lake = Lake(tmp_path, seed=3, late=0.0)
    lake.until(DAYS[-1])
    increment(lake.settings, card_activity, DAYS[-1])
    table = tables()["transactions"]
    row = dict(table.slice(0, 1).to_pylist()[0], transaction_id="late")
    late = pa.Table.from_pylist([row], table.schema)
    write_events(lake.settings, "bronze.transactions", late)
    # Of the very first day: the last one is more than thirty days after it.
    ((first, last),) = increment(lake.settings, card_activity, DAYS[-1])
    assert first == date(2018, 4, 1)
    assert first + timedelta(30) <= last < DAYS[-1]
    direct = Warehouse.of(lake.settings)
    assert "late" in direct.read("features.card_activity_v1")["transaction_id"].to_pylist()


def test_a_history_written_whole_goes_on_with_the_next_day(tmp_path: Path) -> None:
    lake = Lake(tmp_path, seed=4, late=0.0)
    lake.until(DAYS[0])
    write = partial(LocalEngine(lake.settings).backfill, card_activity)
    days = (date(2018, 4, 1), DAYS[0])
    write_all(Warehouse.of(lake.settings), card_activity, days, write)
    lake.until(DAYS[1])
    assert increment(lake.settings, card_activity, DAYS[1]) == [(DAYS[1], DAYS[1])]


def test_an_increment_that_was_broken_off_is_done_again(tmp_path: Path) -> None:
    lake = Lake(tmp_path, seed=5, late=0.0)
    lake.until(DAYS[0])
    increment(lake.settings, card_activity, DAYS[0])
    lake.until(DAYS[1])
    engine = LocalEngine(lake.settings)

    def broken_off(first: date, last: date) -> BackfillReport:
        engine.backfill(card_activity, first, last)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        bring_up_to(Warehouse.of(lake.settings), card_activity, DAYS[1], broken_off)
    assert increment(lake.settings, card_activity, DAYS[1]) == [(DAYS[1], DAYS[1])]
    assert increment(lake.settings, card_activity, DAYS[1]) == []
