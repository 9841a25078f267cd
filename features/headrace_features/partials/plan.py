"""Which partials a view needs, and which of them gives each feature.

Features share partials: a mean and a sum of one column, at all windows, read the same one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from headrace_features.definitions.aggregates import Kind
from headrace_features.definitions.windows import Session
from headrace_features.partials.blocks import EventBlock
from headrace_features.partials.kept import (
    DistinctPartial,
    EdgePartial,
    ExtremePartial,
    HistogramPartial,
    ThetaPartial,
)
from headrace_features.partials.partial import Partial, Value
from headrace_features.partials.sums import CountPartial, MomentsPartial
from headrace_schemas.columns import ColumnType

if TYPE_CHECKING:
    from headrace_features.definitions.views import Feature, FeatureView

States = tuple[Any, ...]

_MOMENTS = (Kind.SUM, Kind.MEAN, Kind.VARIANCE, Kind.STDDEV)


@dataclass(frozen=True)
class PartialPlan:
    """The partials of a view.

    Attributes:
        columns: the columns that partials read, in the order of an event's values.
        partials: the distinct partials, in the order of a tile's states.
        position: for each feature the place of its partial.
        gaps_ms: the gaps of the view's sessions, ascending.
    """

    columns: tuple[str, ...]
    partials: tuple[Partial[Any], ...]
    position: dict[str, int]
    gaps_ms: tuple[int, ...]

    @property
    def empty(self) -> States:
        """The states of no events."""
        return tuple(partial.empty for partial in self.partials)

    def fold(self, block: EventBlock, start: int, stop: int) -> States:
        """The states of the events at the places from `start` to before `stop`."""
        return tuple(partial.fold(block, start, stop) for partial in self.partials)

    def combine(self, states: Sequence[States]) -> States:
        """The states of disjoint sets of events together."""
        if len(states) == 1:
            return states[0]
        return tuple(
            partial.combine([one[place] for one in states])
            for place, partial in enumerate(self.partials)
        )

    def finalize(self, states: States, feature: Feature) -> Value:
        """The value of a feature."""
        place = self.position[feature.name]
        return self.partials[place].finalize(states[place], feature)


@lru_cache(maxsize=256)
def _plan(features: tuple[Feature, ...]) -> PartialPlan:
    columns = tuple(dict.fromkeys(f.column for f in features if f.column is not None))
    place = {name: i for i, name in enumerate(columns)}
    edges = {
        kind: {f.column: place[f.column] for f in features if f.kind is kind and f.column}
        for kind in (Kind.FIRST, Kind.LAST)
    }
    squared = {f.column for f in features if f.kind in (Kind.VARIANCE, Kind.STDDEV)}
    keys: dict[tuple[Any, ...], int] = {}
    partials: list[Partial[Any]] = []
    position: dict[str, int] = {}
    for feature in features:
        kind = feature.kind
        key = (
            "moments" if kind in _MOMENTS else kind,
            None if kind in edges else feature.column,
        )
        if key not in keys:
            keys[key] = len(partials)
            partials.append(_partial(feature, place, edges, feature.column in squared))
        position[feature.name] = keys[key]
    gaps = {f.window.gap_ms for f in features if isinstance(f.window, Session)}
    return PartialPlan(columns, tuple(partials), position, tuple(sorted(gaps)))


def plan_of(view: FeatureView) -> PartialPlan:
    """The partials of a view."""
    return _plan(view.features)


def _partial(  # noqa: PLR0911 - one return for each kind
    feature: Feature,
    place: dict[str, int],
    edges: dict[Kind, dict[str, int]],
    with_squares: bool,  # noqa: FBT001 - what the column's other features need
) -> Partial[Any]:
    if feature.column is None:
        return CountPartial()
    at = place[feature.column]
    match feature.kind:
        case Kind.SUM | Kind.MEAN | Kind.VARIANCE | Kind.STDDEV:
            floating = feature.column_type is ColumnType.FLOAT64
            return MomentsPartial(at, floating=floating, with_squares=with_squares)
        case Kind.MIN | Kind.MAX:
            floating = feature.column_type is ColumnType.FLOAT64
            return ExtremePartial(at, greatest=feature.kind is Kind.MAX, floating=floating)
        case Kind.FIRST | Kind.LAST:
            return EdgePartial(edges[feature.kind], last=feature.kind is Kind.LAST)
        case Kind.DISTINCT:
            return DistinctPartial(at)
        case Kind.APPROX_DISTINCT:
            return ThetaPartial(at)
        case Kind.QUANTILE:
            return HistogramPartial(at)
        case Kind.COUNT:
            return CountPartial()
