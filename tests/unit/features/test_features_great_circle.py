"""Distances on the earth are right, and defined for every two points of it."""

from __future__ import annotations

import math

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from headrace_features.expressions.great_circle import RADIUS_KM, great_circle_km

METRE_KM = 0.001
HALF_ROUND_KM = math.pi * RADIUS_KM

LATITUDES = st.floats(-90, 90)
LONGITUDES = st.floats(-180, 180)


def by_library(
    latitude_1: float, longitude_1: float, latitude_2: float, longitude_2: float
) -> float:
    """The haversine formula with the sines of Python's library."""
    phi_1, phi_2 = math.radians(latitude_1), math.radians(latitude_2)
    half_longitude = math.radians(longitude_2 - longitude_1) / 2
    h = (
        math.sin((phi_2 - phi_1) / 2) ** 2
        + math.cos(phi_1) * math.cos(phi_2) * math.sin(half_longitude) ** 2
    )
    h = min(h, 1.0)
    return 2 * RADIUS_KM * math.atan2(math.sqrt(h), math.sqrt(1 - h))


@given(LATITUDES, LONGITUDES, LATITUDES, LONGITUDES)
@example(63.355492357395775, -88.77801660951043, -63.35549342393623, 91.22198339048957)
@example(89.9999999, 0.0, 89.9999999, 180.0)
@example(0.0, 179.9999999, 0.0, -179.9999999)
def test_a_distance_is_within_a_metre_of_the_library_s(
    latitude_1: float, longitude_1: float, latitude_2: float, longitude_2: float
) -> None:
    points = (latitude_1, longitude_1, latitude_2, longitude_2)
    assert great_circle_km(*points) == pytest.approx(by_library(*points), abs=METRE_KM, rel=0)


@given(LATITUDES, LONGITUDES)
def test_a_point_is_exactly_nowhere_from_itself(latitude: float, longitude: float) -> None:
    assert great_circle_km(latitude, longitude, latitude, longitude) == 0.0


@given(LATITUDES, LONGITUDES, st.floats(-1e-6, 1e-6), st.floats(-1e-6, 1e-6))
def test_antipodes_are_half_a_turn_apart(
    latitude: float, longitude: float, north: float, east: float
) -> None:
    opposite = longitude - 180 if longitude > 0 else longitude + 180
    there = (max(-90.0, min(90.0, -latitude + north)), max(-180.0, min(180.0, opposite + east)))
    # A millionth of a degree is 11 cm, in either direction.
    found = great_circle_km(latitude, longitude, *there)
    assert found == pytest.approx(HALF_ROUND_KM, abs=METRE_KM, rel=0)


def test_the_poles_have_every_longitude_and_the_date_line_two() -> None:
    assert great_circle_km(90.0, 10.0, 90.0, 77.0) == 0.0
    assert great_circle_km(-90.0, -180.0, -90.0, 3.0) == 0.0
    assert great_circle_km(12.5, 180.0, 12.5, -180.0) == 0.0


@given(LATITUDES, LONGITUDES, LATITUDES, LONGITUDES)
def test_the_way_back_is_as_long(
    latitude_1: float, longitude_1: float, latitude_2: float, longitude_2: float
) -> None:
    there = great_circle_km(latitude_1, longitude_1, latitude_2, longitude_2)
    assert great_circle_km(latitude_2, longitude_2, latitude_1, longitude_1) == there


@given(*[st.floats(allow_nan=False, allow_infinity=False)] * 4)
@example(100.0, 0.0, 80.0, 180.0)
@example(872.2720227678074, -466242.672480133, 216574.4225388777, -917173.4917115057)
def test_numbers_that_are_no_coordinates_are_no_error(
    latitude_1: float, longitude_1: float, latitude_2: float, longitude_2: float
) -> None:
    found = great_circle_km(latitude_1, longitude_1, latitude_2, longitude_2)
    assert math.isnan(found) or 0.0 <= found <= 2 * HALF_ROUND_KM
