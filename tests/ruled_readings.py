"""A source with a rule of each kind, and records that keep and break them."""

from __future__ import annotations

from hypothesis import strategies as st

from headrace_features import (
    Count,
    Entity,
    EventSource,
    FeatureView,
    FormatRule,
    ReferenceRule,
    RowRule,
    Sliding,
    TimelyRule,
)
from headrace_features.project import Project, collect
from headrace_schemas.events import Event

NOON_MS = 1_600_000_000_000
MOST = 2**63 - 1


class Reading(Event, frozen=True, kw_only=True):
    """What a sensor has measured."""

    reading_id: str
    sensor_id: str
    event_time: int
    low: int | None = None
    high: int | None = None
    ratio: float | None = None
    unit: str | None = None


class Sensor(Event, frozen=True, kw_only=True):
    """A sensor that was set up."""

    sensor_id: str
    event_time: int


sensors = EventSource("sensors", Sensor, dedup_key="sensor_id")
readings = EventSource(
    "readings",
    Reading,
    dedup_key="reading_id",
    rules=[
        RowRule("low_is_known", "low IS NOT NULL"),
        RowRule("ordered", "low IS NULL OR high IS NULL OR low <= high", "low is above high"),
        RowRule("narrow", "high - low < 100 AND ratio * 2.0 < 5.0"),
        RowRule("known_unit", "COALESCE(unit, 'kg') IN ('kg', 'g', 'Kg9')"),
        FormatRule("unit_in_letters", "unit", r"^[a-z]+$"),
        TimelyRule("on_time", "2h"),
        ReferenceRule("known_sensor", "sensor_id", to="sensors", to_column="sensor_id"),
    ],
)
sensor = Entity("sensor", join_key="sensor_id")
recent = FeatureView("recent", 1, sensor, readings, [Count([Sliding("1d")])])
set_up = FeatureView("set_up", 1, sensor, sensors, [Count([Sliding("1d")])])

NUMBERS = st.none() | st.integers(-3, 3) | st.sampled_from((MOST, -MOST, 99, 100, 101))
RECORDS = st.fixed_dictionaries(
    {
        "reading_id": st.uuids().map(str),
        "sensor_id": st.sampled_from(("a", "b")),
        "event_time": st.integers(NOON_MS - 8_000_000, NOON_MS),
        "low": NUMBERS,
        "high": NUMBERS,
        "ratio": st.none() | st.floats(allow_nan=False, allow_infinity=False),
        "unit": st.none() | st.sampled_from(("", "kg", "g", "g\n", "Kg9", "é", "kg ")),
    }
)


def project() -> Project:
    """The project of these definitions."""
    import ruled_readings

    return collect("readings", [ruled_readings])
