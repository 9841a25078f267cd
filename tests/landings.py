"""Files of events as they come day by day, and what a lake and an online store have of them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from headrace_batch.days import begins_ms
from headrace_batch.warehouse import Warehouse
from headrace_features import FeatureView
from headrace_features.definitions.durations import DAY_MS
from headrace_features.fraud.definitions import card_activity, terminal_risk
from headrace_schemas.settings import Settings
from headrace_schemas.tables import features_table
from late_lakes import served

#: What is made of the files by the built-in project.
MADE = (card_activity, terminal_risk)


def land(folder: Path, events: Mapping[str, pa.Table], known: Mapping[str, str]) -> str:
    """Write events as files of the days on which they are known; what `[ingest]` has to say.

    Args:
        folder: where.
        events: by source.
        known: by source the column that tells when an event is known.
    """
    for source, table in events.items():
        days = np.floor_divide(table[known[source]].to_numpy(), DAY_MS)
        for number in np.unique(days).tolist():
            day = date(1970, 1, 1) + timedelta(number)
            place = folder / day.isoformat() / f"{source}.parquet"
            place.parent.mkdir(parents=True, exist_ok=True)
            pq.write_table(table.filter(pa.array(days == number)), place)
    return json.dumps({source: f"{folder}/{{date}}/{source}.parquet" for source in events})


def histories(settings: Settings) -> dict[str, pa.Table]:
    """The history of each view, in the order of its events."""
    return {
        view.name: Warehouse.of(settings)
        .read(features_table(view.name, view.version))
        .sort_by([(view.source.dedup_key, "ascending")])
        for view in MADE
    }


def online(settings: Settings, day: date) -> dict[str, dict[str | int, list[object]]]:
    """What readers get of each entity that has events, at the end of a day and some time later."""
    found = {}
    for view in MADE:
        keys = keys_in(settings, view)
        for after_ms in (-1, 7 * DAY_MS):
            time_ms = begins_ms(day + timedelta(1)) + after_ms
            found[f"{view.name} {after_ms}"] = served(settings, view, keys, time_ms)
    return found


def keys_in(settings: Settings, view: FeatureView) -> list[str | int]:
    """The entities of a view that have events in the lake."""
    keys = Warehouse.of(settings).read(view.source.table, [view.entity.join_key])[0]
    return sorted(keys.unique().to_pylist())
