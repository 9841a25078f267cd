"""What tests ask the operator's engine of one view."""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from headrace_features import FeatureView
from headrace_features.oracle import Row, Value
from headrace_features.partials.plan import plan_of
from headrace_features.project import Project
from headrace_features.stream_plan.plan import plan_json
from histories import time_of
from operator_jvm import Jvm

#: How long seconds, minutes, hours and days are, ms: folding goes by days.
CALENDAR = (1_000, 60_000, 3_600_000, 86_400_000)
FINE = (1, 2, 4, 8)
#: How many events a block has at most, and a day without a tile.
USUAL = (64, 8)
#: With these every range is divided, and every day has a tile, after an event or two.
LOW = (2, 1)


@dataclass(frozen=True)
class Told:
    """One event and what the operator said of it."""

    event: Row
    absorbed: bool
    puts: Sequence[tuple[str, bytes]]


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


def planned(  # noqa: PLR0913 - what a test may choose
    view: FeatureView,
    *,
    lateness: int,
    widths: Sequence[int],
    chunk: int = 256,
    room: int = 2**31 - 1,
    keeps: bool = False,
) -> dict[str, Any]:
    """Go on with a view: with no states, or with those of the former one.

    Where an entity has many events, each chunk of them has `chunk` or more. A state has room for so
    many events.
    """
    return {
        "op": "plan",
        "plan": plan_json(project_of(view)),
        "lateness": lateness,
        "widths": list(widths),
        "limits": list(USUAL),
        "chunk": chunk,
        "room": room,
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


def taken_in(
    engine: Jvm,
    view: FeatureView,
    events: Iterable[Row],
    *,
    limits: Sequence[int] = USUAL,
    expired_after: int | None = None,
    **plan: Any,
) -> tuple[list[Told], Mapping[str, bytes]]:
    """What the operator says of each event, and the fields that are left in the end.

    A state is emptied, if no window reaches it any more, so long after the newest event.
    """
    events = list(events)
    requests = [planned(view, **plan) | {"limits": list(limits)}]
    newest = min((time_of(event) for event in events), default=0)
    for event in events:
        if expired_after is not None:
            requests.append({"op": "expire", "key": "a", "time": newest + expired_after})
        requests.append(absorbing(view, event))
        newest = max(newest, time_of(event))
    answers = [answer for answer in engine.ask(requests) if "became" in answer]
    told = [
        Told(
            event,
            answer["became"] == "ABSORBED",
            [(field, b64decode(content)) for field, content in answer["puts"]],
        )
        for event, answer in zip(events, answers, strict=True)
    ]
    return told, dict(put for one in told for put in one.puts)
