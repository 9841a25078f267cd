"""Files are put together and deleted, and nobody who reads or writes the lake notices."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import date
from functools import partial
from pathlib import Path
from types import MappingProxyType

import pyarrow as pa
import pyarrow.compute as pc
import pytest
from deltalake import CommitProperties, write_deltalake

from headrace_batch import upkeep
from headrace_batch.event_files import EventFiles
from headrace_batch.history_increment import bring_up_to
from headrace_batch.ingest import parquet_reader, run
from headrace_batch.ingest.covered import covered_offsets, recorded
from headrace_batch.local_engine import LocalEngine
from headrace_batch.local_spill import workspace_of
from headrace_batch.materialize import materialize_view
from headrace_batch.materialize_local import InProcess
from headrace_batch.quality.verdicts import carry_over, require_day, validate
from headrace_batch.tile_intake import Intake
from headrace_batch.tile_table import TileTable
from headrace_batch.upkeep import TableUpkeep, keep_up
from headrace_batch.warehouse import Warehouse
from headrace_features import FeatureView, Gate, Volume
from headrace_features.fraud.definitions import card_activity, terminal_risk
from headrace_features.fraud.definitions import transactions as events
from headrace_schemas.errors import GateError
from headrace_schemas.settings import Settings
from headrace_schemas.tables import features_table, tiles_table
from ingestion import fraud_project, stored, transactions, write_parquet
from ingestion import settings_in as settings_for_ingest
from lakes import unwatched, write_events
from late_lakes import DAYS, Lake, account_of, fields_of, keys_of, tiles_of

VIEWS = (card_activity, terminal_risk)
AT_ONCE = {"delta.deletedFileRetentionDuration": "interval 0 seconds"}
LOG_AT_ONCE = {"delta.logRetentionDuration": "interval 0 seconds"}
BRONZE = "bronze.transactions"


def looked_after(settings: Settings, **options: bool) -> dict[str, TableUpkeep]:
    """What was done for each table."""
    sources = fraud_project(settings).sources.values()
    done = keep_up(Warehouse.of(settings), sources, VIEWS, **options)
    return {one.table: one for one in done}


def keep_nothing(settings: Settings, more: Mapping[str, str] = MappingProxyType({})) -> None:
    """Have what no version needs be deleted at once, so that nothing can go on by it."""
    warehouse = Warehouse.of(settings)
    for schema in ("bronze", "tiles", "features"):
        for name in warehouse.tables(schema):
            warehouse.open(f"{schema}.{name}").alter.set_table_properties({**AT_ONCE, **more})


def files_in(settings: Settings, table: str) -> list[Path]:
    """The data files below a table, whether a version needs them or not."""
    return list(Path(Warehouse.of(settings).uri(table)).glob("event_date=*/*.parquet"))


def brought_up_to(settings: Settings, day: date) -> list[tuple[date, date]]:
    """Bring a history up to a day; the days that were written for that."""
    write = partial(LocalEngine(settings).backfill, card_activity)
    reports = bring_up_to(Warehouse.of(settings), card_activity, day, write)
    return [(one.first, one.last) for one in reports]


class Twin(Lake):
    """A lake that remembers which days of a history were written, run by run."""

    def __init__(self, home: Path) -> None:
        super().__init__(home, seed=5)
        self.written: list[list[tuple[date, date]]] = []


@pytest.fixture(scope="module")
def twins(tmp_path_factory: pytest.TempPathFactory) -> tuple[Twin, Twin]:
    """Two lakes day by day, some events too late: one is looked after, the other never was."""
    one, other = (Twin(tmp_path_factory.mktemp(name)) for name in ("kept", "left"))
    for day in DAYS[:7]:
        for lake in (one, other):
            lake.until(day)
            if lake is one and day > DAYS[0]:
                # What has just come waits for those who materialize it.
                before = looked_after(lake.settings)
                assert before[BRONZE].left_days >= 1
            for view in VIEWS:
                report = materialize_view(lake.settings, view, day, unwatched)
                assert report.anew == (day == DAYS[0])
            if lake is one and day > DAYS[0]:
                # So it does for those who have not brought the history up to it.
                assert looked_after(lake.settings)[BRONZE].left_days >= 1
            lake.written.append(brought_up_to(lake.settings, day))
            if lake is one:
                keep_nothing(lake.settings)
                assert looked_after(lake.settings)[BRONZE].left_days == 0
    return one, other


@pytest.mark.parametrize("view", VIEWS, ids=lambda view: view.name)
def test_increments_go_on_as_if_nothing_had_been_put_together(
    view: FeatureView, twins: tuple[Twin, Twin]
) -> None:
    found = [
        (
            fields_of(lake.settings, view, keys_of(lake, view)),
            tiles_of(lake.settings, view),
            account_of(lake.settings, view),
        )
        for lake in twins
    ]
    assert all(found[0])
    assert found[0] == found[1]


def test_a_history_is_written_for_the_same_days_and_has_the_same_values(
    twins: tuple[Twin, Twin],
) -> None:
    kept, left = twins
    assert kept.written == left.written
    assert {last for _, last in kept.written[-1]} == {DAYS[6]}
    name = features_table("card_activity", 1)
    rows = [Warehouse.of(lake.settings).read(name).sort_by("transaction_id") for lake in twins]
    assert len(rows[0])
    assert rows[0].equals(rows[1])


def test_of_each_day_one_file_is_left_and_nothing_else(twins: tuple[Twin, Twin]) -> None:
    kept, left = (lake.settings for lake in twins)
    for table in (BRONZE, tiles_table("card_activity", 1), tiles_table("terminal_risk", 1)):
        files = files_in(kept, table)
        assert len({file.parent for file in files}) == len(files) < len(files_in(left, table))
    again = looked_after(kept)
    assert {(one.put_together, one.deleted, one.commits) for one in again.values()} == {(0, 0, 0)}


def test_features_are_those_of_a_lake_that_nobody_looked_after(twins: tuple[Twin, Twin]) -> None:
    name = features_table("terminal_risk", 1)
    found = []
    for lake in twins:
        for last in DAYS[3:6]:
            LocalEngine(lake.settings).backfill(terminal_risk, DAYS[2], last)
            if lake is twins[0]:
                keep_nothing(lake.settings)
                assert looked_after(lake.settings)[name].table == name
        found.append(Warehouse.of(lake.settings).read(name).sort_by("transaction_id"))
    assert len(found[0])
    assert found[0].equals(found[1])


def test_what_was_ingested_is_known_when_neither_its_files_nor_its_commits_are_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run, "CHUNK_ROWS", 20)
    monkeypatch.setattr(parquet_reader, "_BATCH_ROWS", 20)
    settings = settings_for_ingest(tmp_path)
    project = fraud_project(settings)
    file = write_parquet(tmp_path / "a.parquet", transactions(0, 90))
    run.ingest(settings, project, str(file), source="transactions")
    table = Warehouse.of(settings).open(BRONZE)
    offsets = {0: 17, 1: 5}
    write_deltalake(
        table,
        pa.schema(table.schema().to_arrow()).empty_table(),
        mode="append",
        commit_properties=CommitProperties(
            app_transactions=recorded("transactions", 7, offsets, {0: 0, 1: 0})
        ),
    )
    before = stored(settings, BRONZE)
    keep_nothing(settings, LOG_AT_ONCE)
    assert looked_after(settings)[BRONZE].put_together > 0
    (commit,) = Path(Warehouse.of(settings).uri(BRONZE), "_delta_log").glob("*.json")
    assert int(commit.stem) == Warehouse.of(settings).open(BRONZE).version()

    assert covered_offsets(Warehouse.of(settings), project.source("transactions")) == offsets
    (same,) = run.ingest(settings, project, str(file), source="transactions").sources
    assert (same.already_ingested, same.ingested) == (90, 0)
    more = write_parquet(tmp_path / "b.parquet", transactions(80, 95))
    (report,) = run.ingest(settings, project, str(more), source="transactions").sources
    assert (report.duplicates, report.ingested) == (10, 5)
    assert [row for row in stored(settings, BRONZE) if row in before] == before


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    """A lake with many small files, of which tiles have been made."""
    made = Lake(tmp_path, seed=6, late=0.3)
    for day in DAYS[:3]:
        made.until(day)
        for view in VIEWS:
            materialize_view(made.settings, view, day, unwatched)
    made.until(DAYS[3])
    return made


def test_a_reader_who_has_begun_reads_to_the_end(lake: Lake) -> None:
    view, before = card_activity, tiles_of(lake.settings, card_activity)
    tiles = TileTable(Warehouse.of(lake.settings), view)
    reading = tiles.events(pc.scalar(value=True))
    rows = len(next(reading))
    done = looked_after(lake.settings)[tiles.name]
    assert (done.put_together > 0, done.deleted) == (True, 0)
    rows += sum(map(len, reading))
    assert rows == sum(int(str(count)) for _, _, count, _ in before)
    assert tiles_of(lake.settings, view) == before


def test_what_nobody_ever_committed_is_deleted_once_it_is_old(lake: Lake) -> None:
    looked_after(lake.settings)
    folder = files_in(lake.settings, BRONZE)[0].parent
    old, new = (folder / f"{name}.parquet" for name in ("old", "new"))
    for file in (old, new):
        file.write_bytes(b"left by a writer who was killed")
    os.utime(old, (1, 1))
    told = looked_after(lake.settings, dry_run=True)[BRONZE]
    assert (told.deleted, told.deleted_bytes, old.exists()) == (1, 31, True)
    assert looked_after(lake.settings)[BRONZE] == replace(told, commits=0)
    assert (old.exists(), new.exists()) == (False, True)


class Beside(InProcess):
    """Makes tiles while somebody looks after the lake."""

    def __init__(self, settings: Settings) -> None:
        super().__init__(workspace_of(settings.home))
        self._settings = settings

    def take_in(
        self, tiles: TileTable, bronze: EventFiles, came: Intake, advance: Callable[[int], None]
    ) -> int:
        assert looked_after(self._settings)[tiles.name].put_together > 0
        return super().take_in(tiles, bronze, came, advance)


def test_who_materializes_at_the_time_is_not_in_the_way_and_does_not_begin_anew(
    lake: Lake,
) -> None:
    keep_nothing(lake.settings)
    maker = Beside(lake.settings)
    report = materialize_view(lake.settings, card_activity, DAYS[3], unwatched, maker=maker)
    assert (report.anew, report.tiled > 0) == (False, True)


def test_what_was_said_of_a_day_is_not_said_of_rows_that_come_once_its_files_were_put_together(
    lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings, day, gate = lake.settings, DAYS[2], Gate(events, [Volume(0.1, 2.0)])
    assert validate(settings, gate, day, 1).passes
    rows = Warehouse.of(settings).read(BRONZE, where=pc.field("event_date") == pa.scalar(day))
    again = pa.concat_tables([rows.drop_columns(["event_date"])] * 9)

    def beside(warehouse: Warehouse, table: str) -> None:
        if table == BRONZE:
            write_events(settings, BRONZE, again)
        carry_over(warehouse, table)

    monkeypatch.setattr(upkeep, "carry_over", beside)
    assert looked_after(settings)[BRONZE].put_together > 0
    with pytest.raises(GateError, match="volume is"):
        require_day(settings, gate, day, 2)
