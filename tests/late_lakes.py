"""Lakes into which events come day by day, some of them too late, and what is made of them."""

from __future__ import annotations

import random
import sqlite3
from collections.abc import Iterable
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
from deltalake import DeltaTable

from headrace_batch.days import begins_ms
from headrace_batch.healing import healed_rows
from headrace_batch.simulator import simulate
from headrace_batch.warehouse import Warehouse
from headrace_features import Count, FeatureView, Last, Sliding, Sum, Unbounded
from headrace_features.definitions.durations import DAY_MS
from headrace_features.fraud.definitions import (
    card,
    card_activity,
    terminal,
    terminal_risk,
    transactions,
)
from headrace_features.online.served import Query, ServedView, ViewQuery, entity_key, view_key
from headrace_features.online.serving import Server
from headrace_features.online.store import Wanted, layers_of
from headrace_features.online.stores import open_store
from headrace_schemas.settings import Settings
from headrace_schemas.tables import tiles_table
from histories import bits
from lakes import FEW, settings_in, write_events

FIRST = date(2018, 4, 1)
#: Of entities and the names of their fields what these hold.
Fields = dict[tuple[bytes, str], bytes]
#: Of the days that are given one by one.
DAYS = [FIRST + timedelta(days) for days in range(24, 34)]

spending = FeatureView(
    name="spending",
    version=1,
    entity=card,
    source=transactions,
    aggregates=[
        Count(windows=[Sliding("6h"), Sliding("2d", hop="1h"), Unbounded()]),
        Sum("amount_minor", windows=[Sliding("3d"), Unbounded(delay="1d")]),
    ],
)
VIEWS = {view.name: view for view in (card_activity, terminal_risk, spending)}
#: Its windows are short: entities that are seldom active leave it.
SELDOM = FeatureView(
    name="seldom",
    version=1,
    entity=terminal,
    source=transactions,
    aggregates=[Count(windows=[Sliding("1d")]), Last("amount_minor", windows=[Sliding("1d")])],
)


def tables() -> dict[str, pa.Table]:
    simulated = simulate(FEW)
    return {"transactions": simulated.transactions, "transaction_labels": simulated.labels}


class Lake:
    """A lake into which the simulated events come, some of them days too late."""

    def __init__(self, home: Path, seed: int, late: float = 0.1, **environ: str) -> None:
        self.settings = settings_in(home, **environ)
        chance = random.Random(seed)
        self.rows: dict[str, list[dict[str, Any]]] = {}
        self._comes: dict[str, list[tuple[int, dict[str, Any]]]] = {}
        for source, table in tables().items():
            self.rows[source] = []
            self._schema = {**getattr(self, "_schema", {}), source: table.schema}
            self._comes[source] = [
                (
                    row["event_time"] // DAY_MS
                    + chance.choice([1, 2, 9]) * (chance.random() < late),
                    row,
                )
                for row in table.to_pylist()
            ]

    def until(self, day: date) -> None:
        """Let everything come that has come by the end of a day and isn't there yet."""
        number = begins_ms(day) // DAY_MS
        for source, comes in self._comes.items():
            rows = [row for when, row in comes if when <= number]
            self._comes[source] = [one for one in comes if one[0] > number]
            if rows:
                self.rows[source] += rows
                table = pa.Table.from_pylist(rows, self._schema[source])
                write_events(self.settings, f"bronze.{source}", table)

    def events(self, view: FeatureView, before_ms: int) -> list[dict[str, Any]]:
        """The events of a view that a batch layer has."""
        return [row for row in self.rows[view.source.name] if row["event_time"] < before_ms]


def served(
    settings: Settings, view: FeatureView, keys: Iterable[str | int], time_ms: int
) -> dict[str | int, list[object]]:
    """What the online store says of some entities."""
    asked = list(keys)
    queries = [Query(key, time_ms) for key in asked]
    (answer,) = Server(open_store(settings)).read(
        [ViewQuery(ServedView(view, view.feature_names), queries)]
    )
    return {
        key: list(map(bits, one.values)) for key, one in zip(asked, answer.answers, strict=True)
    }


def keys_of(lake: Lake, view: FeatureView) -> list[str | int]:
    return sorted({row[view.entity.join_key] for row in lake.rows[view.source.name]})


def written(settings: Settings) -> Fields:
    """What each field of the online store holds."""
    with sqlite3.connect(settings.online.path) as db:
        rows = db.execute("SELECT entity, field, content FROM batch").fetchall()
    db.close()
    return {(entity, field): content for entity, field, content in rows}


def fields_of(settings: Settings, view: FeatureView, keys: Iterable[str | int]) -> Fields:
    """What readers of any store see of the batch layer of some entities: all of its fields."""
    store, key = open_store(settings), view_key(view)
    entities = [entity_key(one) for one in keys]
    (found,) = store.read(layers_of(store, [key]), [Wanted(key, entities, None)]).found or [[]]
    return {
        (entity, field): content
        for entity, one in zip(entities, found, strict=True)
        for field, content in one.batch.items()
    }


def tiles_of(settings: Settings, view: FeatureView) -> list[tuple[object, ...]]:
    """What the tiles have of each entity and day, whichever generation brought it."""
    rows = Warehouse.of(settings).read(tiles_table(view.name, view.version)).to_pylist()
    names = ("event_date", view.entity.join_key, "events_count", "events")
    return sorted(tuple(str(row[name]) for name in names) for row in rows)


def account_of(settings: Settings, view: FeatureView) -> list[tuple[object, ...]]:
    """The account of what was off, but for when that was written down."""
    names = ("day", "feature", "values_off", "greatest_difference")
    found: list[tuple[object, ...]] = []
    for row in healed_rows(Warehouse.of(settings), view):
        # A mean of differences is one of doubles, which depends on their order.
        mean = None if row["mean_difference"] is None else f"{row['mean_difference']:.9g}"
        found.append((*(row[name] for name in names), mean))
    return sorted(found, key=str)


def tile_files(settings: Settings, view: FeatureView) -> set[str]:
    """The files of a view's table of tiles."""
    table = DeltaTable(f"{settings.warehouse.path}/tiles/{view.name}_v{view.version}")
    return set(table.file_uris())
