"""What tests ask the operator's engine of one view."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from headrace_features import FeatureView
from headrace_features.oracle import Row, Value
from headrace_features.partials.plan import plan_of
from headrace_features.project import Project
from headrace_features.stream_plan.plan import plan_json

#: How long seconds, minutes, hours and days are, ms: folding goes by days.
CALENDAR = (1_000, 60_000, 3_600_000, 86_400_000)
FINE = (1, 2, 4, 8)
#: How many events a block has at most, and a day without a tile.
USUAL = (64, 8)


def project_of(view: FeatureView) -> Project:
    """A project of one view."""
    return Project(
        "readings",
        entities={view.entity.name: view.entity},
        sources={view.source.name: view.source},
        views={view.name: view},
        services={},
        decisions={},
    )


def planned(
    view: FeatureView,
    *,
    lateness: int,
    widths: Sequence[int],
    chunk: int = 256,
    keeps: bool = False,
) -> dict[str, Any]:
    """Go on with a view: with no states, or with those of the former one.

    Where an entity has many events, each chunk of them has `chunk` or more.
    """
    return {
        "op": "plan",
        "plan": plan_json(project_of(view)),
        "lateness": lateness,
        "widths": list(widths),
        "limits": list(USUAL),
        "chunk": chunk,
        "keeps": keeps,
    }


def absorbing(view: FeatureView, event: Row) -> dict[str, Any]:
    """Take in an event."""
    available = view.source.available_at or view.source.event_time
    return {
        "op": "absorb",
        "key": event[view.entity.join_key],
        "time": event[view.source.event_time],
        "available": event[available],
        "dedup": event[view.source.dedup_key],
        "values": [event[name] for name in plan_of(view).columns],
    }


def asked(key: Value, time_ms: int, current: Value = None) -> dict[str, Any]:
    """Tell the values at a time."""
    return {"op": "values", "key": key, "time": time_ms, "current": current}
