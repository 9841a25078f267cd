"""What is told of the values of a split: counts, means, deviations and bounds, shard by shard."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
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
    """The values of a column that are no nulls.

    Attributes:
        count: how many.
        nulls: rows without one.
        mean: of them.
        squares: the sum of squared distances from it.
        least, greatest: of them; None of none.
    """

    count: int = 0
    nulls: int = 0
    mean: float = 0.0
    squares: float = 0.0
    least: float | None = None
    greatest: float | None = None

    def joined(self, other: Moments) -> Moments:
        """Of both together (Chan, Golub, LeVeque: Updating formulae, 1979)."""
        count = self.count + other.count
        bounds = [
            one
            for one in (self.least, self.greatest, other.least, other.greatest)
            if one is not None
        ]
        if not bounds:
            return Moments(nulls=self.nulls + other.nulls)
        apart = other.mean - self.mean
        return Moments(
            count,
            self.nulls + other.nulls,
            self.mean + apart * other.count / count,
            self.squares + other.squares + apart * apart * self.count * other.count / count,
            min(bounds),
            max(bounds),
        )

    def described(self) -> dict[str, float | int | None]:
        """As the manifest has it; None where no value tells."""
        some = self.count > 0
        return {
            "count": self.count,
            "nulls": self.nulls,
            "mean": self.mean if some else None,
            "std": math.sqrt(self.squares / self.count) if some else None,
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
    kept = values[~is_null].astype(np.float64)
    nulls = len(values) - len(kept)
    if not len(kept):
        return Moments(nulls=nulls)
    mean = float(kept.mean())
    return Moments(
        len(kept),
        nulls,
        mean,
        float(np.square(kept - mean).sum()),
        float(kept.min()),
        float(kept.max()),
    )
