"""Countries and degrees of places on the map."""

from __future__ import annotations

import numpy as np

from headrace_batch.simulator.geography import COUNTRIES, country_numbers, latitudes, longitudes

_EDGE = float(np.nextafter(100, 0))


def test_the_map_is_divided_into_a_grid_of_countries() -> None:
    x = np.array([0.0, 50.0, _EDGE, 0.0, 50.0, _EDGE])
    y = np.array([0.0, 0.0, 49.9, 50.0, 50.0, _EDGE])
    codes = [COUNTRIES[number].code for number in country_numbers(x, y)]
    assert codes == ["FR", "CH", "AT", "NL", "DE", "PL"]


def test_the_map_spans_central_europe() -> None:
    ends = np.array([0.0, 50.0, _EDGE])
    assert latitudes(ends).tolist() == [46.0, 50.0, 54.0]
    assert longitudes(ends).tolist() == [4.0, 10.0, 16.0]


def test_one_unit_of_the_map_is_about_nine_kilometres_both_ways() -> None:
    step = np.array([50.0, 51.0])
    north_km = np.diff(latitudes(step)) * 111.2
    east_km = np.diff(longitudes(step)) * 111.2 * np.cos(np.radians(50))
    assert 8 < float(north_km[0]) < 9.5
    assert 8 < float(east_km[0]) < 9.5
