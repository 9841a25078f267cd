"""Random histories at plausible times, in a warehouse, for tests of the engines."""

from __future__ import annotations

import random
from collections.abc import Sequence
from datetime import UTC, datetime

import pyarrow as pa

from headrace_features import oracle
from headrace_features.definitions.views import FeatureView
from headrace_features.oracle import Row, SpineRow
from headrace_schemas.settings import Settings
from histories import LATE, WINDOWS, as_table, view_of
from lakes import write_events

#: A midnight: events of one sensor lie on both sides of it, in two partitions of the table.
MIDNIGHT_MS = int(datetime(2021, 3, 4, tzinfo=UTC).timestamp()) * 1000

FILTERED = view_of(
    LATE,
    WINDOWS[:3],
    filter="amount > 0 OR is_small IS NULL OR place IN ('DE', '')",
    derived={"is_small": "amount BETWEEN -3 AND 3"},
)


def random_events(seed: int, count: int) -> list[Row]:
    """Events with ties, nulls, late ones, one hot sensor, and huge and negative values."""
    rng = random.Random(seed)
    rows: list[Row] = []
    for number in range(count):
        time_ms = MIDNIGHT_MS + rng.randint(-40, 80)
        rows.append(
            {
                "reading_id": f"{number:05d}"[::-1],
                "sensor": rng.choice(["a", "a", "a", "b", "", "ß", f"s{number % 7}"]),
                "event_time": time_ms,
                "known_at": time_ms + rng.choice([0, 0, 0, 1, 3, 8, 40]),
                "amount": rng.choice(
                    [None, rng.randint(-5, 5), rng.randint(-(10**9), 10**9), 2**53 + number]
                ),
                "price": rng.choice([None, 0.0, -0.0, 0.1, rng.uniform(-1e12, 1e12)]),
                "place": rng.choice([None, "", "DE", "FR", "ß"]),
                "flag": rng.choice([None, True, False]),
            }
        )
    return rows


def random_rows(seed: int, events: Sequence[Row], count: int) -> list[SpineRow]:
    """Rows at and after events, in no order, some of them twice, some of unknown sensors."""
    rng = random.Random(seed)
    rows = []
    for event in rng.choices(events, k=count):
        at_ms = int(event["event_time"] or 0) + rng.choice([0, 0, 1, 3, 20])
        current = rng.choice([None, str(event["reading_id"]), "none such"])
        sensor = rng.choice([str(event["sensor"])] * 9 + ["unknown"])
        rows.append(SpineRow(sensor, at_ms, current))
    return rows + rows[: count // 10]


def spine_table(rows: Sequence[SpineRow]) -> pa.Table:
    """A spine of such rows, with a column of its own."""
    return pa.table(
        {
            "note": pa.array([f"row {number}" for number in range(len(rows))]),
            "sensor": pa.array([row.key for row in rows], pa.string()),
            "event_time": pa.array([row.time_ms for row in rows], pa.int64()),
            "reading_id": pa.array([row.current for row in rows], pa.string()),
        }
    )


def write_readings(settings: Settings, view: FeatureView, events: Sequence[Row]) -> None:
    """Events as the bronze table of a view's source."""
    write_events(settings, view.source.table, as_table(view, events))


def expected_at_events(view: FeatureView, events: Sequence[Row]) -> dict[str, Row]:
    """What the oracle says of each event at its own time, by its id (without a filter)."""
    rows = [
        SpineRow(str(event["sensor"]), int(event["event_time"] or 0), str(event["reading_id"]))
        for event in events
    ]
    values = oracle.values(view, events, rows)
    return {str(row.current): dict(value) for row, value in zip(rows, values, strict=True)}
