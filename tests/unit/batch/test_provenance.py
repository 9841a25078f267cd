"""The lake's own logs tell of which events a batch layer was made, whatever came since."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from datetime import date
from pathlib import Path

import pyarrow as pa
import pytest
from deltalake import CommitProperties, write_deltalake

from headrace_batch.layer_writer import Filled, Layer
from headrace_batch.local_spill import workspace_of
from headrace_batch.materialize import materialize_view
from headrace_batch.materialize_local import InProcess
from headrace_batch.provenance import LayerMade, events_made, layer_made
from headrace_batch.tile_table import TileTable
from headrace_batch.warehouse import Warehouse
from headrace_features.fraud.definitions import card_activity
from headrace_features.fraud.definitions import transactions as source
from headrace_features.online.served import view_key
from headrace_features.online.store import layers_of
from headrace_features.online.stores import open_store
from headrace_schemas.settings import Settings
from headrace_schemas.tables import relative_path
from ingestion import transactions
from lakes import settings_in, unwatched, write_events

DAY = date(2018, 4, 2)


class Stopped(InProcess):
    """Makes tiles and dies before the layer is filled."""

    def fill(self, layer: Layer, tiles: TileTable, advance: Callable[[int], None]) -> Filled:
        del layer, tiles, advance
        raise InterruptedError


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """A lake whose layer was made of the first version of its table of events."""
    settings = settings_in(tmp_path)
    add(settings, 0, 30)
    materialize_view(settings, card_activity, DAY, unwatched)
    return settings


def add(settings: Settings, first: int, after: int) -> None:
    rows = pa.Table.from_pylist(transactions(first, after))
    write_events(settings, "bronze.transactions", rows)


def made(settings: Settings) -> LayerMade | None:
    key = view_key(card_activity)
    generation = layers_of(open_store(settings), [key])[key].batch
    assert generation is not None
    return layer_made(Warehouse.of(settings), card_activity, generation)


def versions(settings: Settings) -> tuple[int | None, int] | None:
    found = made(settings)
    if found is None:
        return None
    return None if found.events is None else found.events.version, found.tiles_version


def test_events_that_came_since_are_not_in_what_is_served(settings: Settings) -> None:
    before = versions(settings)
    assert before is not None
    assert before[0] == 0
    add(settings, 30, 40)
    assert versions(settings) == before
    materialize_view(settings, card_activity, DAY, unwatched)
    after = versions(settings)
    assert after is not None
    assert after[0] == 1


def test_tiles_of_a_layer_that_was_never_published_are_not_in_what_is_served(
    settings: Settings,
) -> None:
    before = versions(settings)
    add(settings, 30, 40)
    maker = Stopped(workspace_of(settings.home))
    with pytest.raises(InterruptedError):
        materialize_view(settings, card_activity, DAY, unwatched, maker=maker)
    assert TileTable(Warehouse.of(settings), card_activity)._table.version() > (before or (0, 0))[1]
    assert versions(settings) == before


def test_where_another_table_is_in_its_place_nobody_knows_the_events_any_more(
    settings: Settings,
) -> None:
    shutil.rmtree(Warehouse.of(settings).uri("bronze.transactions"))
    add(settings, 0, 30)
    found = made(settings)
    assert found is not None
    assert found.events is None


def test_without_its_tiles_the_lake_tells_nothing_of_a_layer(settings: Settings) -> None:
    shutil.rmtree(Warehouse.of(settings).uri("tiles.card_activity_v1"))
    assert made(settings) is None


def test_a_version_has_the_files_that_had_come_by_then(tmp_path: Path) -> None:
    warehouse = Warehouse(str(tmp_path))
    for number in range(4):
        write_deltalake(
            f"{tmp_path}/{relative_path(source.table)}",
            pa.table({"number": [number]}),
            mode="append",
            commit_properties=CommitProperties(
                custom_metadata={
                    "headrace.file": f"{number}.parquet",
                    "headrace.ingest_id": f"id-{number}",
                }
            ),
        )
    for version, files in ((None, 4), (3, 4), (1, 2), (0, 1)):
        made = events_made(warehouse, source, version)
        assert made is not None
        assert made.version == (3 if version is None else version)
        assert [(one.file, one.version) for one in made.files] == [
            (f"{number}.parquet", number) for number in reversed(range(files))
        ]
