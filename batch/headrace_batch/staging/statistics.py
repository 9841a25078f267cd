"""What is told of the values of a split: counts, means, deviations and bounds, shard by shard."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from headrace_shards.layout import MASK

if TYPE_CHECKING:
    from headrace_shards.layout import Layout
    from headrace_shards.mds import Rows

#: The parts whose columns are numbers.
_PARTS = ("x", "y")


@dataclass(frozen=True, slots=True)
class Moments:
    """The numbers of a column: what is told of them is finite, however large they are.

    Attributes:
        count: how many.
        nulls: rows without any value.
        not_finite: rows of which it is NaN or infinite, of which nothing else is told.
        mean: of the numbers.
        deviation: the root of their mean squared distance from it.
        least, greatest: of them; None of none.
    """

    count: int = 0
    nulls: int = 0
    not_finite: int = 0
    mean: float = 0.0
    deviation: float = 0.0
    least: float | None = None
    greatest: float | None = None

    def joined(self, other: Moments) -> Moments:
        """Of both together (Chan, Golub, LeVeque: Updating formulae, 1979)."""
        count = self.count + other.count
        nulls, not_finite = self.nulls + other.nulls, self.not_finite + other.not_finite
        bounds = [
            one
            for one in (self.least, self.greatest, other.least, other.greatest)
            if one is not None
        ]
        if not bounds:
            return Moments(nulls=nulls, not_finite=not_finite)
        exponent = _exponent(bounds)
        mine, others = self.count / count, other.count / count
        mean = math.ldexp(self.mean, -exponent)
        apart = math.ldexp(other.mean, -exponent) - mean
        deviation = math.hypot(
            math.ldexp(self.deviation, -exponent) * math.sqrt(mine),
            math.ldexp(other.deviation, -exponent) * math.sqrt(others),
            apart * math.sqrt(mine * others),
        )
        return _moments_of(
            count, nulls, not_finite, (mean + apart * others, deviation, exponent), bounds
        )

    def described(self) -> dict[str, float | int | None]:
        """As the manifest has it; None where no number tells."""
        some = self.count > 0
        return {
            "count": self.count,
            "nulls": self.nulls,
            "not_finite": self.not_finite,
            "mean": self.mean if some else None,
            "std": self.deviation if some else None,
            "min": self.least,
            "max": self.greatest,
        }


def moments_of(layout: Layout, rows: Rows) -> dict[str, Moments]:
    """Of each column of numbers that a model takes in or is to foretell, in the rows of a shard."""
    found = {}
    for part in layout.parts:
        if part.name not in _PARTS:
            continue
        for place, name in enumerate(part.columns):
            values = rows[part.name] if part.is_scalar else rows[part.name][:, place]
            found[name] = _moments(values, layout.nulls(rows[MASK], name))
    return found


def joined(parts: Iterable[Mapping[str, Moments]]) -> dict[str, Moments]:
    """Of all shards of a split, in their order."""
    found: dict[str, Moments] = {}
    for part in parts:
        for name, moments in part.items():
            found[name] = found.get(name, Moments()).joined(moments)
    return found


def _moments(values: np.ndarray[Any, Any], is_null: np.ndarray[Any, Any]) -> Moments:
    some = values[~is_null].astype(np.float64)
    nulls = len(values) - len(some)
    kept = some[np.isfinite(some)]
    not_finite = len(some) - len(kept)
    if not len(kept):
        return Moments(nulls=nulls, not_finite=not_finite)
    bounds = [float(kept.min()), float(kept.max())]
    exponent = _exponent(bounds)
    scaled = np.ldexp(kept, -exponent)
    mean = float(scaled.mean())
    deviation = math.sqrt(float(np.square(scaled - mean).mean()))
    return _moments_of(len(kept), nulls, not_finite, (mean, deviation, exponent), bounds)


def _exponent(bounds: Sequence[float]) -> int:
    """The power of two by which numbers within bounds are divided, so that no sum overflows."""
    return math.frexp(max(map(abs, bounds)))[1]


def _moments_of(
    count: int,
    nulls: int,
    not_finite: int,
    scaled: tuple[float, float, int],
    bounds: Sequence[float],
) -> Moments:
    """Moments of numbers within bounds, by their mean and deviation divided by a power of two."""
    mean, deviation, exponent = scaled
    least, greatest = min(bounds), max(bounds)
    low, high = math.ldexp(least, -exponent), math.ldexp(greatest, -exponent)
    # What was rounded may be beyond what any numbers within the bounds have, and beyond a double.
    return Moments(
        count,
        nulls,
        not_finite,
        math.ldexp(min(max(mean, low), high), exponent),
        math.ldexp(min(deviation, (high - low) / 2), exponent),
        least,
        greatest,
    )
