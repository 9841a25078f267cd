"""Small warehouses for tests: simulated transactions, written as ingest writes them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from deltalake import write_deltalake

from headrace_batch.simulator import SimulationConfig, simulate
from headrace_features.definitions.durations import DAY_MS
from headrace_schemas.settings import Settings, load
from headrace_schemas.tables import relative_path

FEW = SimulationConfig(
    seed=7,
    cards=40,
    terminals=60,
    days=45,
    radius=30.0,
    compromised_terminals_per_day=0.3,
    stolen_cards_per_day=0.3,
)


def unwatched(done: int) -> None:
    """Progress that nobody looks at."""
    del done


def settings_in(home: Path, **environ: str) -> Settings:
    """Settings of the built-in project with its data in a folder."""
    return load(home, {"HEADRACE_HOME": str(home), **environ})


def write_events(settings: Settings, table: str, rows: pa.Table) -> None:
    """Append events to a bronze table, partitioned by day."""
    days = np.floor_divide(rows["event_time"].to_numpy(), DAY_MS).astype(np.int32)
    write_deltalake(
        f"{settings.warehouse.path}/{relative_path(table)}",
        rows.append_column("event_date", pa.array(days).cast(pa.date32())),
        partition_by=["event_date"],
        mode="append",
    )


def write_simulated(settings: Settings) -> Mapping[str, list[dict[str, Any]]]:
    """A few simulated transactions and labels in bronze; returns their rows by source."""
    simulated = simulate(FEW)
    tables = {"transactions": simulated.transactions, "transaction_labels": simulated.labels}
    for source, rows in tables.items():
        write_events(settings, f"bronze.{source}", rows)
    return {source: rows.to_pylist() for source, rows in tables.items()}
