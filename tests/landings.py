"""Files of events as they come day by day, and what a lake and an online store have of them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from headrace_batch.days import begins_ms, days_with_events
from headrace_batch.ingest.run import ingest
from headrace_batch.local_engine import LocalEngine
from headrace_batch.materialize import materialize_view
from headrace_batch.warehouse import Warehouse
from headrace_features import FeatureView
from headrace_features.definitions.durations import DAY_MS
from headrace_features.fraud.definitions import card_activity, terminal_risk
from headrace_features.project import load_project
from headrace_schemas.settings import Settings
from headrace_schemas.tables import features_table
from lakes import settings_in, unwatched
from late_lakes import served

#: What is made of the files by the built-in project.
MADE = (card_activity, terminal_risk)


#: When an event of a source is known: a label some days after its transaction.
_KNOWN = {"transactions": "event_time", "transaction_labels": "reported_at"}


def land(folder: Path, events: Mapping[str, pa.Table], first: date = date(1970, 1, 1)) -> str:
    """Write events as files of the days on which they are known; what `[ingest]` has to say.

    Args:
        folder: where.
        events: by source.
        first: what was known before comes on that day.
    """
    since = (first - date(1970, 1, 1)).days
    for source, table in events.items():
        known_ms = table[_KNOWN[source]].to_numpy()
        days = np.maximum(np.floor_divide(known_ms, DAY_MS), since)
        for number in np.unique(days).tolist():
            day = date(1970, 1, 1) + timedelta(number)
            place = folder / day.isoformat() / f"{source}.parquet"
            place.parent.mkdir(parents=True, exist_ok=True)
            pq.write_table(table.filter(pa.array(days == number)), place)
    return json.dumps({source: f"{folder}/{{date}}/{source}.parquet" for source in events})


def histories(settings: Settings, views: Sequence[FeatureView] = MADE) -> dict[str, pa.Table]:
    """The history of each view, in the order of its events."""
    return {
        view.name: Warehouse.of(settings)
        .read(features_table(view.name, view.version))
        .sort_by([(view.source.dedup_key, "ascending")])
        for view in views
    }


def online(
    settings: Settings,
    day: date,
    views: Sequence[FeatureView] = MADE,
    entities: Sequence[str | int] | None = None,
) -> dict[str, dict[str | int, list[object]]]:
    """What readers get at the end of a day and some time later.

    Of some entities, else of each that has events in the lake.
    """
    found = {}
    for view in views:
        keys = keys_in(settings, view) if entities is None else entities
        for after_ms in (-1, 7 * DAY_MS):
            time_ms = begins_ms(day + timedelta(1)) + after_ms
            found[f"{view.name} {after_ms}"] = served(settings, view, keys, time_ms)
    return found


def keys_in(settings: Settings, view: FeatureView) -> list[str | int]:
    """The entities of a view that have events in the lake."""
    keys = Warehouse.of(settings).read(view.source.table, [view.entity.join_key])[0]
    return sorted(keys.unique().to_pylist())


def in_one_go(home: Path, landing: Path, days: Sequence[date]) -> Settings:
    """A lake and an online store made of the files of some days at once."""
    settings = settings_in(home)
    project = load_project(settings)
    for day in days:
        for source in project.sources:
            ingest(settings, project, f"{landing}/{day}/{source}.parquet", source=source)
    for view in MADE:
        first, last = days_with_events(settings, view.source)
        LocalEngine(settings).backfill(view, first, last)
        materialize_view(settings, view, days[-1], unwatched)
    return settings


def require_the_same(
    settings: Settings, direct: Settings, day: date, views: Sequence[FeatureView] = MADE
) -> None:
    """See that two homes have the same events, histories and values online at the end of a day."""
    for view in views:
        table, key = view.source.table, view.source.dedup_key
        columns = [column.name for column in view.source.columns]
        one, other = (
            Warehouse.of(each).read(table, columns).sort_by(key) for each in (settings, direct)
        )
        assert one.equals(other), table
    made = histories(direct, views)
    for name, history in histories(settings, views).items():
        assert history.equals(made[name]), name
    assert online(settings, day, views) == online(direct, day, views)
