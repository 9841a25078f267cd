"""The map in the world: six countries in a grid, and coordinates in degrees."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from headrace_batch.simulator.model import MAP_SIDE


class Country(NamedTuple):
    """A country by its ISO 3166 alpha-2 code, with its currency's ISO 4217 code."""

    code: str
    currency: str


_COLUMNS = 3
_ROWS = 2
COUNTRIES = (
    Country("FR", "EUR"),
    Country("CH", "CHF"),
    Country("AT", "EUR"),
    Country("NL", "EUR"),
    Country("DE", "EUR"),
    Country("PL", "PLN"),
)
"""From south-west to north-east, row by row. All count money in hundredths."""

# Central Europe, where these degrees span about 890 by 860 km: the map stays nearly square.
_SOUTH, _NORTH = 46.0, 54.0
_WEST, _EAST = 4.0, 16.0
_DECIMALS = 6  # a tenth of a metre


def country_numbers(x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.int8]:
    """For each place on the map, the position of its country in `COUNTRIES`."""
    column = np.minimum(x * (_COLUMNS / MAP_SIDE), _COLUMNS - 1).astype(np.int8)
    row = np.minimum(y * (_ROWS / MAP_SIDE), _ROWS - 1).astype(np.int8)
    return row * np.int8(_COLUMNS) + column


def latitudes(y: NDArray[np.float64]) -> NDArray[np.float64]:
    """Degrees north."""
    return np.round(_SOUTH + (_NORTH - _SOUTH) / MAP_SIDE * y, _DECIMALS)


def longitudes(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """Degrees east."""
    return np.round(_WEST + (_EAST - _WEST) / MAP_SIDE * x, _DECIMALS)
