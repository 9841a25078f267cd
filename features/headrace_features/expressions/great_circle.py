"""The distance between two points of the earth, with the same bits in every language.

Sines and arc tangents of mathematical libraries differ in their last bits. Here they are series of
sums, products, divisions and square roots in one order, which IEEE 754 defines to the last bit.
"""

from __future__ import annotations

from math import nan, sqrt

#: The mean radius of the earth, km (IUGG).
RADIUS_KM = 6371.0088
_RADIANS = 0.017453292519943295
_HALF_PI = 1.5707963267948966


def great_circle_km(
    latitude_1: float, longitude_1: float, latitude_2: float, longitude_2: float
) -> float:
    """The great-circle distance of two points given in degrees, in km.

    Right to a millimetre, near antipodes to a metre. Numbers that are no coordinates give no
    distance: any number, or NaN.

    By the haversine formula: with h = sin²(Δφ/2) + cos φ₁ · cos φ₂ · sin²(Δλ/2), the distance is
    2R · atan2(√h, √(1 − h)).
    """
    half_latitude = _sine((latitude_2 - latitude_1) * 0.5 * _RADIANS)
    half_longitude = _sine(_folded(longitude_2 - longitude_1) * 0.5 * _RADIANS)
    cosines = _cosine(latitude_1 * _RADIANS) * _cosine(latitude_2 * _RADIANS)
    h = half_latitude * half_latitude + cosines * (half_longitude * half_longitude)
    if h >= 1.0:
        return 2.0 * RADIUS_KM * _HALF_PI
    if h < 0.0:
        # Only beyond a pole. Python refuses this root, IEEE 754 and Java call it NaN.
        return nan
    sine = sqrt(h)
    cosine = sqrt(1.0 - h)
    if sine <= cosine:
        angle = _arc_tangent(sine / cosine)
    else:
        angle = _HALF_PI - _arc_tangent(cosine / sine)
    return 2.0 * RADIUS_KM * angle


def _folded(degrees: float) -> float:
    """An angle of up to 360 degrees either way, brought to at most 180."""
    if degrees > 180.0:  # noqa: PLR2004 - half a turn
        return degrees - 360.0
    if degrees < -180.0:  # noqa: PLR2004 - half a turn
        return degrees + 360.0
    return degrees


def _sine(angle: float) -> float:
    """The sine of an angle of at most half a turn either way: its Taylor series at a third.

    With s the sine of the third, that of the whole is 3s - 4s³.
    """
    x = angle / 3.0
    y = x * x
    series = 1.0
    for divisor in (272.0, 210.0, 156.0, 110.0, 72.0, 42.0, 20.0, 6.0):
        series = 1.0 - y / divisor * series
    s = x * series
    return 3.0 * s - 4.0 * (s * s * s)


def _cosine(angle: float) -> float:
    """The cosine of a latitude: the sine of what is missing to a right angle."""
    return _sine(_HALF_PI - angle) if angle >= 0.0 else _sine(_HALF_PI + angle)


def _arc_tangent(x: float) -> float:
    """The arc tangent of a number from 0 to 1: halved three times, then its Taylor series."""
    for _ in range(3):
        x = x / (1.0 + sqrt(1.0 + x * x))
    y = x * x
    series = 1.0 / 15.0
    for odd in (13.0, 11.0, 9.0, 7.0, 5.0, 3.0, 1.0):
        series = 1.0 / odd - y * series
    return 8.0 * (x * series)
