"""Aggregates: what is computed over the events of a window."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from fractions import Fraction
from typing import ClassVar

from headrace_features.definitions.windows import Session, Sliding, Tumbling, Unbounded, Window
from headrace_schemas.errors import ConfigurationError

Scalar = int | float | str | bool


class Kind(StrEnum):
    """Every aggregate, by the name that feature names and engines use."""

    COUNT = "count"
    SUM = "sum"
    MEAN = "mean"
    MIN = "min"
    MAX = "max"
    VARIANCE = "variance"
    STDDEV = "stddev"
    FIRST = "first"
    LAST = "last"
    DISTINCT = "distinct"
    APPROX_DISTINCT = "approx_distinct"
    QUANTILE = "quantile"


@dataclass(frozen=True, slots=True)
class Columns:
    """Several columns taken from one row; made by `struct`."""

    names: tuple[str, ...]


def struct(*names: str) -> Columns:
    """Several columns of the same row, for `First` and `Last`: one feature for each column."""
    if not names:
        msg = "struct() names at least one column"
        raise ConfigurationError(msg)
    return Columns(names)


def _checked(windows: Sequence[Window]) -> tuple[Window, ...]:
    if isinstance(windows, Sliding | Tumbling | Session | Unbounded):
        msg = f"windows={windows!r} is one window, a list of windows is expected"
        raise ConfigurationError(msg, hint=f"write windows=[{windows!r}]")
    for window in windows:
        if not isinstance(window, Sliding | Tumbling | Session | Unbounded):
            msg = f"{window!r} is not a window"
            raise ConfigurationError(msg, hint="use Sliding, Tumbling, Session or Unbounded")
    if not windows:
        msg = "an aggregate has at least one window"
        raise ConfigurationError(msg, hint="leave windows out to aggregate all events up to t")
    return tuple(windows)


@dataclass(frozen=True, slots=True)
class Count:
    """How many events; a row counts whatever it holds. Empty: 0."""

    windows: Sequence[Window] = (Unbounded(),)
    exclude_current: bool = False
    kind: ClassVar[Kind] = Kind.COUNT

    def __post_init__(self) -> None:
        """Check the windows."""
        object.__setattr__(self, "windows", _checked(self.windows))


@dataclass(frozen=True, slots=True)
class _OfColumn:
    """What the aggregates of one column share.

    ``default`` is the value where there is nothing to aggregate. With ``exclude_current`` the
    event that is being decided is left out, by its deduplication key.
    """

    column: str
    windows: Sequence[Window] = (Unbounded(),)
    exclude_current: bool = False
    default: Scalar | None = None
    kind: ClassVar[Kind]

    def __post_init__(self) -> None:
        """Check the windows."""
        object.__setattr__(self, "windows", _checked(self.windows))


class Sum(_OfColumn):
    """Σx, exact; a sum of integers outside int64 is an error, never a wrap. Empty: 0."""

    __slots__ = ()
    kind = Kind.SUM


class Mean(_OfColumn):
    """Σx / n: both exact, each rounded half-even to double, then one division. Empty: null."""

    __slots__ = ()
    kind = Kind.MEAN


class Min(_OfColumn):
    """The smallest value that is not null. Empty: null."""

    __slots__ = ()
    kind = Kind.MIN


class Max(_OfColumn):
    """The greatest value that is not null. Empty: null."""

    __slots__ = ()
    kind = Kind.MAX


class Variance(_OfColumn):
    """Sample variance ``(n·Σx² − (Σx)²) / (n·(n−1))``, null for fewer than two values.

    Numerator and denominator are exact, each rounded half-even to double, then divided once.
    """

    __slots__ = ()
    kind = Kind.VARIANCE


class StdDev(_OfColumn):
    """The square root of the sample variance; null for fewer than two values."""

    __slots__ = ()
    kind = Kind.STDDEV


class Distinct(_OfColumn):
    """How many distinct values that are not null, exactly. Empty: 0."""

    __slots__ = ()
    kind = Kind.DISTINCT


class ApproxDistinct(_OfColumn):
    """How many distinct values, by a Theta sketch: exact up to 4,096, then within about 3 %."""

    __slots__ = ()
    kind = Kind.APPROX_DISTINCT


@dataclass(frozen=True, slots=True)
class _OfRow:
    """What `First` and `Last` share: one column, or several columns of the chosen row."""

    column: str | Columns
    windows: Sequence[Window] = (Unbounded(),)
    exclude_current: bool = False
    default: Scalar | None = None
    kind: ClassVar[Kind]

    def __post_init__(self) -> None:
        """Check the windows, and that a default has one column to stand for."""
        object.__setattr__(self, "windows", _checked(self.windows))
        if isinstance(self.column, Columns) and self.default is not None:
            msg = f"{type(self).__name__} of several columns takes no default"
            raise ConfigurationError(msg, hint="declare the column that needs one by itself")


class First(_OfRow):
    """The row with the smallest (event time, dedup key bytes), even if its value is null."""

    __slots__ = ()
    kind = Kind.FIRST


class Last(_OfRow):
    """The row with the greatest (event time, dedup key bytes), even if its value is null."""

    __slots__ = ()
    kind = Kind.LAST


@dataclass(frozen=True, slots=True)
class Quantile(_OfColumn):
    """The nearest-rank quantile of an integer column, within 0.4 %, by a log-linear histogram.

    The value is the middle of the bucket that holds the ``ceil(q·n)``-th smallest value.
    Empty: null.
    """

    q: float = 0.5
    kind: ClassVar[Kind] = Kind.QUANTILE

    def __post_init__(self) -> None:
        """Check the windows and the quantile."""
        object.__setattr__(self, "windows", _checked(self.windows))
        if not 0 < self.q <= 1:
            msg = f"the quantile q={self.q} is not above 0 and at most 1"
            raise ConfigurationError(msg)

    @property
    def exact_q(self) -> Fraction:
        """The quantile as it was written: 0.95 is 19/20."""
        return Fraction(str(self.q))


Aggregate = (
    Count
    | Sum
    | Mean
    | Min
    | Max
    | Variance
    | StdDev
    | Distinct
    | ApproxDistinct
    | First
    | Last
    | Quantile
)
