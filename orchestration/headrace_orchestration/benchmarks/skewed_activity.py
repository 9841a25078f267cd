"""Generated events whose keys are skewed: a few users with much of all, and very many with little.

The k-th user has events in proportion to 1/k (Zipf's law), and each of three has one in a hundred
of all besides.
"""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from headrace_batch.days import begins_ms
from headrace_features.definitions.durations import DAY_MS

#: The day of the first events.
FIRST = date(2026, 1, 1)
_HOT_USERS = 3
_HOT_SHARE = 0.01
#: Events that are made at once.
_AT_ONCE = 1_000_000

#: The definitions that the events are for; windows are put in.
DEFINITIONS = '''\
"""Of users what they have done lately."""

from headrace_features import Count, Entity, EventSource, FeatureView, Max, Mean, Sliding, Sum
from headrace_schemas.events import Event


class Activity(Event, frozen=True, kw_only=True):
    """Something that a user has done."""

    activity_id: str
    user_id: int
    event_time: int
    amount: int


user = Entity("user", join_key="user_id")
activity = EventSource("activity", Activity, dedup_key="activity_id")


def view(name: str, *windows: str) -> FeatureView:
    """The view of some windows."""
    slides = [Sliding(window, hop="1h") for window in windows]
    return FeatureView(
        name=name,
        version=1,
        entity=user,
        source=activity,
        aggregates=[
            Count(windows=slides),
            Sum("amount", windows=slides),
            Mean("amount", windows=slides),
            Max("amount", windows=slides),
        ],
    )


'''


def write_days(folder: Path, events: int, users: int, first: date, days: int) -> None:
    """Write a Parquet file for each of some days.

    Args:
        folder: where.
        events: how many on all days together, as many on each.
        users: how many there may be.
        first: the first day.
        days: how many.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(days):
        day = first + timedelta(number)
        share = events * (number + 1) // days - events * number // days
        with pq.ParquetWriter(folder / f"{day}.parquet", _SCHEMA) as writer:
            for start in range(0, share, _AT_ONCE):
                count = min(_AT_ONCE, share - start)
                writer.write_table(_events(day, start, count, share, users))


_SCHEMA = pa.schema(
    [
        ("activity_id", pa.string()),
        ("user_id", pa.int64()),
        ("event_time", pa.int64()),
        ("amount", pa.int64()),
    ]
)


def _events(day: date, start: int, count: int, share: int, users: int) -> pa.Table:
    """Some of a day's events, in the order of time."""
    chance = np.random.default_rng([day.toordinal(), start])
    ranks = np.exp(chance.random(count) * np.log(users)).astype(np.int64) + _HOT_USERS
    hot = chance.random(count)
    is_hot = hot < _HOT_USERS * _HOT_SHARE
    ranks[is_hot] = (hot[is_hot] / _HOT_SHARE).astype(np.int64)
    times = begins_ms(day) + (np.arange(start, start + count) * DAY_MS) // share
    numbers = pa.array(np.arange(start, start + count) + day.toordinal() * 10_000_000_000)
    return pa.table(
        [
            pc.cast(numbers, pa.string()),
            pa.array(ranks),
            pa.array(times),
            pa.array(chance.integers(1, 100_000, count)),
        ],
        schema=_SCHEMA,
    )
