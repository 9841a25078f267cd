"""Two runs of the same day at once, each of whose steps is tried again where it may be: one result.

A scheduler does that: a task that it has lost sight of, and the one that it starts in its place.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from headrace_batch.simulator import simulate
from headrace_batch.tile_rows import GENERATION
from headrace_batch.warehouse import Warehouse
from headrace_features.fraud.definitions import card_activity
from headrace_schemas.settings import Settings
from headrace_schemas.tables import features_table, tiles_table
from lakes import FEW, settings_in
from late_lakes import Fields, fields_of
from streams import headrace

TABLES = {
    "bronze.transactions": "transaction_id",
    features_table("card_activity", 1): "transaction_id",
    tiles_table("card_activity", 1): "event_date",
}
BUSY = 75


def daily_run(home: Path, file: Path) -> list[str]:
    """The steps of a day; what those said that were refused and tried again."""
    refused = []
    for step in (
        ("ingest", "--file", str(file), "--source", "transactions"),
        ("backfill", "--view", "card_activity"),
        ("materialize", "--view", "card_activity"),
    ):
        while (done := headrace(home, *step, check=False)).returncode:
            assert done.returncode == BUSY, done.stderr
            refused.append(done.stderr)
    return refused


def result(settings: Settings) -> tuple[dict[str, pa.Table], Fields]:
    """What is in the tables, in order, and what readers see online."""
    warehouse, found = Warehouse.of(settings), {}
    for table, key in TABLES.items():
        rows = warehouse.read(table)
        # That is another one where a run was overtaken before it published.
        columns = [name for name in rows.column_names if name != GENERATION]
        order = [(key, "ascending"), ("card_id", "ascending")]
        found[table] = rows.select(columns).sort_by(order)
    keys = pc.unique(found["bronze.transactions"]["card_id"]).to_pylist()
    return found, fields_of(settings, card_activity, keys)


def test_two_runs_of_the_same_day_at_once_end_as_one(tmp_path: Path) -> None:
    file = tmp_path / "transactions.parquet"
    pq.write_table(simulate(FEW).transactions, file)
    homes = [tmp_path / name for name in ("once", "twice")]
    for home in homes:
        home.mkdir()
    assert daily_run(homes[0], file) == []
    with ThreadPoolExecutor() as pool:
        both = [pool.submit(daily_run, homes[1], file) for _ in range(2)]
        refused = [line for one in both for line in one.result()]
    assert all(line.startswith("headrace: ") and line.count("\n") == 1 for line in refused), refused
    once, twice = (result(settings_in(home)) for home in homes)
    assert once[1]
    assert once == twice
