"""Files of transactions for ingestion tests, and what the tables hold afterwards."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from headrace_batch.warehouse import Warehouse
from headrace_features.project import Project, load_project
from headrace_schemas.settings import Settings, load

Row = dict[str, Any]

START_MS = 1_522_540_800_000  # 2018-04-01
HOUR_MS = 3_600_000


def settings_in(home: Path, **environ: str) -> Settings:
    """Settings of the built-in project with its data in a folder."""
    return load(home, {"HEADRACE_HOME": str(home / ".headrace"), **environ})


def fraud_project(settings: Settings) -> Project:
    """The built-in project."""
    return load_project(settings)


def transaction(number: int, **changes: Any) -> Row:
    """A good transaction, one hour after that with the number before."""
    return {
        "transaction_id": f"tx-{number}",
        "card_id": f"card-{number % 7}",
        "terminal_id": f"terminal-{number % 3}",
        "event_time": START_MS + number * HOUR_MS,
        "amount_minor": 100 + number,
        "currency": "EUR",
        "country": ("DE", "FR", None)[number % 3],
        "latitude": number % 90 + 0.5,
        "longitude": -(number % 180) - 0.25,
        "channel": None,
    } | changes


def transactions(first: int, after: int, **changes: Any) -> list[Row]:
    """Good transactions with the numbers from `first` to before `after`."""
    return [transaction(number, **changes) for number in range(first, after)]


def write_parquet(path: Path, rows: Sequence[Row], schema: pa.Schema | None = None) -> Path:
    """The rows as a Parquet file of several row groups."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist(rows, schema), path, row_group_size=max(1, len(rows) // 3))
    return path


def write_handbook(path: Path, rows: int) -> Path:
    """A file with rows that are bad for both sources, or for one, and with repeated keys."""
    return write_parquet(
        path,
        [
            {
                "TRANSACTION_ID": number if number % 10 else number // 2,
                "TX_DATETIME": START_MS + number * 600_000 if number % 17 else None,
                "CUSTOMER_ID": number % 50,
                "TERMINAL_ID": number % 20,
                "TX_AMOUNT": 12.34 if number % 13 else 0.001,
                "TX_FRAUD": int(number % 19 == 0),
            }
            for number in range(rows)
        ],
    )


def write_json_lines(path: Path, rows: Iterable[Mapping[str, Any]]) -> Path:
    """The rows as lines of JSON."""
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def write_csv(path: Path, rows: Sequence[Row]) -> Path:
    """The rows as CSV, null as an empty cell."""
    lines = [",".join(rows[0])]
    lines += [",".join("" if v is None else str(v) for v in row.values()) for row in rows]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def stored(settings: Settings, table: str) -> list[tuple[Any, ...]]:
    """The rows of a table, sorted; none where there is no such table."""
    warehouse = Warehouse.of(settings)
    if not warehouse.exists(table):
        return []
    rows = warehouse.read(table).to_pylist()
    return sorted((tuple(_plain(value) for value in row.values()) for row in rows), key=repr)


def _plain(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value
