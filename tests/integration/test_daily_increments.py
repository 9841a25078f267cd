"""Day after day into the batch layer: only what is new is read, tiled and written."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pytest
from deltalake import DeltaTable

from headrace_batch.backfill_rows import day_of
from headrace_batch.days import begins_ms
from headrace_batch.healing import Healing, healed_rows
from headrace_batch.local_spill import Workspace
from headrace_batch.materialize import materialize_view
from headrace_batch.materialize_local import InProcess
from headrace_batch.tile_table import TileTable
from headrace_batch.warehouse import Warehouse
from headrace_features import FeatureView, oracle
from headrace_features.definitions.durations import DAY_MS, HOUR_MS
from headrace_features.fraud.definitions import card_activity
from headrace_features.online.served import view_key
from headrace_features.online.store import layers_of
from headrace_features.online.stores import open_store
from headrace_features.oracle import SpineRow
from headrace_schemas.errors import RetryableError
from headrace_schemas.tables import tiles_table
from histories import bits
from lakes import unwatched, write_events
from late_lakes import DAYS, SELDOM, VIEWS, Lake, keys_of, served, tables, tile_files, written

Row = Mapping[str, Any]


def require_the_oracle_s(lake: Lake, view: FeatureView, day: date) -> None:
    """See that every entity has the values of the events that have come."""
    boundary_ms = begins_ms(day + timedelta(1))
    events = lake.events(view, boundary_ms)
    for time_ms in (boundary_ms - 3 * DAY_MS - 12_345, boundary_ms - 1, boundary_ms + 7 * HOUR_MS):
        keys = keys_of(lake, view)
        expected = oracle.values(view, events, [SpineRow(key, time_ms, None) for key in keys])
        found = served(lake.settings, view, keys, time_ms)
        for key, row in zip(keys, expected, strict=True):
            assert found[key] == list(map(bits, row.values())), (key, time_ms)


@pytest.mark.parametrize("name", VIEWS)
def test_each_day_has_the_oracle_s_values_though_events_come_days_too_late(
    name: str, tmp_path: Path
) -> None:
    view, lake = VIEWS[name], Lake(tmp_path, seed=1)
    for day in DAYS:
        lake.until(day)
        report = materialize_view(lake.settings, view, day, unwatched)
        assert report.anew == (day == DAYS[0])
        require_the_oracle_s(lake, view, day)


@pytest.mark.parametrize("name", VIEWS)
def test_days_in_any_order_and_several_at_once_end_with_the_same_values(
    name: str, tmp_path: Path
) -> None:
    view = VIEWS[name]
    last_ms = begins_ms(DAYS[-1] + timedelta(1))
    found = []
    for number, days in enumerate(
        (DAYS, [DAYS[-1]], [DAYS[2], DAYS[0], DAYS[7], DAYS[7], DAYS[1], DAYS[-1], DAYS[4]])
    ):
        lake = Lake(tmp_path / str(number), seed=2)
        for day in days:
            # All that came by the day that is given, or came on the way to one that was.
            lake.until(day)
            materialize_view(lake.settings, view, day, unwatched)
        tiles = DeltaTable(lake.settings.warehouse.path + f"/tiles/{view.name}_v1")
        held = tiles.to_pyarrow_table(columns=["events_count"])
        assert pc.sum(held["events_count"]).as_py() == len(lake.events(view, last_ms))
        found.append(
            [
                served(lake.settings, view, keys_of(lake, view), last_ms + offset_ms)
                for offset_ms in (-5 * DAY_MS, -1, HOUR_MS)
            ]
        )
    assert found[0] == found[1] == found[2]


def test_only_entities_with_new_events_are_written_and_only_their_tiles(tmp_path: Path) -> None:
    lake = Lake(tmp_path, seed=3, late=0.0)
    lake.until(DAYS[0])
    materialize_view(lake.settings, card_activity, DAYS[0], unwatched)
    before, files = written(lake.settings), tile_files(lake.settings, card_activity)
    count = len(lake.rows["transactions"])
    lake.until(DAYS[1])
    came = lake.rows["transactions"][count:]
    report = materialize_view(lake.settings, card_activity, DAYS[1], unwatched)
    active = {row["card_id"] for row in came}
    assert (report.entities, report.events, report.tiled) == (len(active), len(came), len(came))
    after = written(lake.settings)
    places = before.keys() | after.keys()
    changed = {place for place in places if before.get(place) != after.get(place)}
    assert {entity.decode() for entity, _ in changed} == {str(key) for key in active}
    assert report.fields == len(changed)
    assert files < tile_files(lake.settings, card_activity)
    again = materialize_view(lake.settings, card_activity, DAYS[1], unwatched)
    assert (again.entities, again.events, again.tiled, again.anew) == (0, 0, 0, False)
    assert written(lake.settings) == after


def test_a_late_event_adds_to_the_tiles_of_its_entity_and_day_alone(tmp_path: Path) -> None:
    lake = Lake(tmp_path, seed=4, late=0.0)
    lake.until(DAYS[1])
    materialize_view(lake.settings, card_activity, DAYS[1], unwatched)
    late = dict(lake.rows["transactions"][5], transaction_id="late")
    late["event_time"] = begins_ms(DAYS[0]) - 4 * DAY_MS + 5
    lake.rows["transactions"].append(late)
    schema = tables()["transactions"].schema
    write_events(lake.settings, "bronze.transactions", pa.Table.from_pylist([late], schema))
    # Of an earlier day than the layer has: it stays where it is.
    report = materialize_view(lake.settings, card_activity, DAYS[0], unwatched)
    assert (report.boundary.date(), report.entities, report.events) == (
        DAYS[1] + timedelta(1),
        1,
        1,
    )
    require_the_oracle_s(lake, card_activity, DAYS[1])
    tiles = Warehouse.of(lake.settings).read(tiles_table("card_activity", 1))
    newest = pc.max(tiles["generation"]).as_py()
    (row,) = tiles.filter(pc.equal(tiles["generation"], newest)).to_pylist()
    assert (row["card_id"], row["event_date"], row["events_count"]) == (
        late["card_id"],
        DAYS[0] - timedelta(4),
        1,
    )


@pytest.mark.parametrize("name", VIEWS)
def test_the_account_of_late_events_is_what_a_probe_has_seen(name: str, tmp_path: Path) -> None:
    view, lake = VIEWS[name], Lake(tmp_path, seed=9, late=0.2)
    lake.until(DAYS[0])
    materialize_view(lake.settings, view, DAYS[0], unwatched)
    seen: dict[tuple[date, str], list[float | None]] = {}
    for day, earlier in zip(DAYS[1:], DAYS, strict=False):
        there = len(lake.rows[view.source.name])
        lake.until(day)
        moments = probed(view, lake.rows[view.source.name][there:], earlier, day)
        before = values_at(lake, view, moments)
        materialize_view(lake.settings, view, day, unwatched)
        most: dict[tuple[date, str, str | int], list[float | None]] = {}
        for (key, at_ms), after in values_at(lake, view, moments).items():
            for feature, old, new in zip(
                view.feature_names, before[key, at_ms], after, strict=True
            ):
                if old != new:
                    entity = (day_of(at_ms), feature, key)
                    most.setdefault(entity, []).append(difference(old, new))
        for (one, feature, _), found in most.items():
            apart = max((d for d in found if d is not None), default=None)
            seen.setdefault((one, feature), []).append(apart)
    told: dict[tuple[date, str], list[Row]] = {}
    for row in healed_rows(Warehouse.of(lake.settings), view):
        told.setdefault((row["day"], row["feature"]), []).append(row)
    assert told.keys() == seen.keys()
    assert told, "no value was ever off"
    for place, rows in told.items():
        numbers = [one for one in seen[place] if one is not None]
        assert sum(row["values_off"] for row in rows) == len(seen[place])
        greatest = [row["greatest_difference"] for row in rows]
        assert max((one for one in greatest if one is not None), default=None) == max(
            numbers, default=None
        )
        assert all(row["longest_ms"] > row["healed_ms"] - begins_ms(DAYS[-1]) for row in rows)


def probed(
    view: FeatureView, came: list[dict[str, Any]], earlier: date, day: date
) -> list[tuple[str | int, int]]:
    """When entities are looked at that days which both layers answer for have late events of.

    That is at the end of each day, and when the first such event of each hour comes into a value.
    """
    ends_ms = [begins_ms(earlier - timedelta(back)) + DAY_MS - 1 for back in range(6)]
    firsts: dict[tuple[str | int, int], dict[str, Any]] = {}
    for row in sorted(came, key=lambda row: row["event_time"]):
        if row["event_time"] <= max(ends_ms):
            place = (row[view.entity.join_key], row["event_time"] // HOUR_MS)
            firsts.setdefault(place, row)
    moments = {(key, at_ms) for key, _ in firsts for at_ms in ends_ms}
    since_ms = begins_ms(day + timedelta(1)) - 7 * DAY_MS
    for (key, _), row in firsts.items():
        for feature in view.features:
            comes_ms = row["event_time"]
            if feature.window.delay_ms:
                hop_ms = getattr(feature.window, "hop_ms", 1)
                comes_ms += feature.window.delay_ms + hop_ms - 1
            at_ms = max(comes_ms, row[view.source.available_at or view.source.event_time])
            if since_ms <= at_ms <= max(ends_ms):
                moments.add((key, at_ms))
    return sorted(moments, key=str)


def values_at(
    lake: Lake, view: FeatureView, moments: list[tuple[str | int, int]]
) -> dict[tuple[str | int, int], list[object]]:
    """What entities have online at their moments."""
    return {(key, ms): served(lake.settings, view, [key], ms)[key] for key, ms in moments}


def difference(old: object, new: object) -> float | None:
    """How far two values are apart; None where one of them is no number."""
    numbers = []
    for value in (old, new):
        assert isinstance(value, tuple)
        kind, told = value
        if kind not in {"int", "float"}:
            return None
        numbers.append(float.fromhex(told) if kind == "float" else float(told))
    return abs(numbers[1] - numbers[0])


def test_what_no_window_reaches_any_more_leaves_the_store(tmp_path: Path) -> None:
    lake = Lake(tmp_path, seed=5, late=0.0)
    lately: set[bytes] = set()
    for day in DAYS:
        lake.until(day)
        materialize_view(lake.settings, SELDOM, day, unwatched)
        # The window, and how far back can be asked.
        since_ms = begins_ms(day + timedelta(1)) - 8 * DAY_MS
        lately = {
            str(row["terminal_id"]).encode()
            for row in lake.rows["transactions"]
            if row["event_time"] >= since_ms
        }
        assert {entity for entity, _ in written(lake.settings)} == lately
    assert len(lately) < len({row["terminal_id"] for row in lake.rows["transactions"]})


@pytest.mark.parametrize("change", ["what came is put together with others", "taken out"])
def test_a_table_of_events_that_was_rewritten_is_tiled_anew(change: str, tmp_path: Path) -> None:
    lake = Lake(tmp_path, seed=6)
    for day in DAYS[:3]:
        lake.until(day)
        materialize_view(lake.settings, card_activity, day, unwatched)
    table = DeltaTable(f"{lake.settings.warehouse.path}/bronze/transactions")
    if change != "taken out":
        lake.until(DAYS[3])
        table.update_incremental()
        table.optimize.compact()
    else:
        gone = lake.rows["transactions"].pop(0)
        table.delete(f"transaction_id = '{gone['transaction_id']}'")
    report = materialize_view(lake.settings, card_activity, DAYS[2], unwatched)
    assert report.anew
    require_the_oracle_s(lake, card_activity, DAYS[2])
    lake.until(DAYS[3])
    assert not materialize_view(lake.settings, card_activity, DAYS[3], unwatched).anew
    require_the_oracle_s(lake, card_activity, DAYS[3])


def test_a_store_that_lost_everything_is_filled_from_the_tiles_alone(tmp_path: Path) -> None:
    lake = Lake(tmp_path, seed=7)
    for day in DAYS[:2]:
        lake.until(day)
        materialize_view(lake.settings, card_activity, day, unwatched)
    files = tile_files(lake.settings, card_activity)
    open_store(lake.settings).remove()
    report = materialize_view(lake.settings, card_activity, DAYS[1], unwatched)
    assert (report.anew, report.tiled) == (True, 0)
    assert tile_files(lake.settings, card_activity) == files
    require_the_oracle_s(lake, card_activity, DAYS[1])


def test_who_has_been_overtaken_puts_no_tiles_into_the_table(tmp_path: Path) -> None:
    lake = Lake(tmp_path, seed=8)
    lake.until(DAYS[0])
    maker = InProcess(Workspace(1_000, tmp_path / "scratch"))
    slow = TileTable(Warehouse.of(lake.settings), card_activity)
    fast = TileTable(Warehouse.of(lake.settings), card_activity)
    fast.update(DAYS[0], None, 8, maker, unwatched)
    for _ in range(2):
        with pytest.raises(RetryableError, match="has taken over"):
            slow.update(DAYS[0], None, 7, maker, unwatched)
        # Also if it looks again.
        slow = TileTable(Warehouse.of(lake.settings), card_activity)
        lake.until(DAYS[1])
    rows = Warehouse.of(lake.settings).read(tiles_table("card_activity", 1))
    assert set(rows["generation"].to_pylist()) == {8}


def test_who_has_been_overtaken_leaves_the_account_of_the_other_as_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lake, view = Lake(tmp_path, seed=9, late=0.2), card_activity
    lake.until(DAYS[0])
    materialize_view(lake.settings, view, DAYS[0], unwatched)
    lake.until(DAYS[1])
    record = Healing.record

    def stalled(*arguments: Any) -> None:
        # For longer than a lease: more comes meanwhile, and somebody else takes over.
        monkeypatch.setattr(Healing, "record", record)
        lake.until(DAYS[3])
        materialize_view(lake.settings, view, DAYS[1], unwatched)
        record(*arguments)

    monkeypatch.setattr(Healing, "record", stalled)
    with pytest.raises(RetryableError, match="has taken over"):
        materialize_view(lake.settings, view, DAYS[1], unwatched)
    key = view_key(view)
    published = layers_of(open_store(lake.settings), [key])[key].batch
    assert published is not None
    told = healed_rows(Warehouse.of(lake.settings), view)
    assert {row["generation"] for row in told} == {published.id}
