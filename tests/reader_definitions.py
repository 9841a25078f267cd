"""A project with features of every kind, for tests of all that reads them."""

from __future__ import annotations

from typing import Any

from headrace_features import (
    Entity,
    EventSource,
    FeatureService,
    FeatureView,
    OnDemandView,
    Session,
    Sliding,
    Tumbling,
    Unbounded,
)
from histories import SENSOR, Reading, every_aggregate


class Measured(Reading, frozen=True, kw_only=True):
    """A reading that is about a station as well, whose key is a number."""

    station: int


STATION = Entity("station", join_key="station")
PROMPTLY = EventSource("prompt_readings", Measured, dedup_key="reading_id")
LATELY = EventSource("late_readings", Measured, dedup_key="reading_id", available_at="known_at")


def _view(name: str, entity: Entity, source: EventSource, **options: Any) -> FeatureView:
    return FeatureView(name=name, version=1, entity=entity, source=source, **options)


# An event that is left out may be anywhere, and needs other state: views with and without that.
EXACT = _view(
    "sensor_exact",
    SENSOR,
    PROMPTLY,
    aggregates=every_aggregate(
        (Sliding("3h"), Sliding("2d", hop="5m"), Tumbling("90m"), Session("2h")), [False]
    ),
)
COARSE = _view(
    "sensor_coarse",
    SENSOR,
    PROMPTLY,
    filter="is_small IS NULL OR is_small OR place IN ('DE', '')",
    derived={"is_small": "amount BETWEEN -3 AND 70000"},
    aggregates=every_aggregate(
        (Sliding("2d", hop="6h"), Sliding("2d", hop="1h", delay="6h"), Tumbling("1d"), Unbounded()),
        [False],
    ),
)
LATE = _view(
    "sensor_late",
    SENSOR,
    LATELY,
    aggregates=every_aggregate(
        (
            Sliding("1d", delay="12h"),
            Tumbling("1d", delay="1d"),
            Session("30m", delay="6h"),
            Unbounded(delay="1d"),
        ),
        [False],
    ),
)
DECIDED = _view(
    "station_decided",
    STATION,
    PROMPTLY,
    aggregates=every_aggregate((Sliding("3h"), Tumbling("1d"), Session("2h"), Unbounded()), [True]),
)
DECIDED_LATE = _view(
    "station_late",
    STATION,
    LATELY,
    aggregates=every_aggregate((Sliding("2d", hop="6h", delay="6h"), Session("45m"))),
)
CONTEXT = OnDemandView(
    name="context",
    version=1,
    inputs=[EXACT, DECIDED_LATE],
    request={"given": float, "number": int},
    features={
        "share": "number / sensor_exact__amount_sum_3h",
        "beyond": "number - sensor_exact__amount_sum_2d_hop_5m",
        "scaled": "given * station_late__amount_mean_session_45m",
        "elsewhere": "sensor_exact__place_first_session_2h <> 'nowhere' AND number > 0",
    },
)

VIEWS = (EXACT, COARSE, LATE, DECIDED, DECIDED_LATE)
KEPT = FeatureService("kept", list(VIEWS))
COMPUTED = FeatureService("computed", [*VIEWS, CONTEXT])
