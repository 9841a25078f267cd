"""Feature views as JSON: columns, partials, windows and features."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from headrace_features.definitions.fingerprint import fingerprint
from headrace_features.definitions.windows import Session, Sliding, Tumbling, Unbounded, Window
from headrace_features.partials import kept, sums
from headrace_features.partials.plan import PartialPlan, plan_of
from headrace_features.stream_plan.expressions import expression
from headrace_schemas.errors import UnsupportedError

if TYPE_CHECKING:
    from headrace_features.definitions.views import Feature, FeatureView

#: The nulls of an event are one bit for each column; two bits of 64 are for something else.
_MOST_COLUMNS = 62


def view_plan(view: FeatureView) -> dict[str, Any]:
    """What the operator has to know of a view.

    Raises:
        UnsupportedError: its aggregates read more columns than the stream keeps.
    """
    plan = plan_of(view)
    if len(plan.columns) > _MOST_COLUMNS:
        raise UnsupportedError(
            f"feature view {view.name} aggregates {len(plan.columns)} columns, "
            f"the stream keeps at most {_MOST_COLUMNS}",
            hint="divide it into several views",
        )
    types = view.column_types
    condition = view.filter_expression
    return {
        "name": view.name,
        "version": view.version,
        "fingerprint": fingerprint(view),
        "source": view.source.name,
        "join_key": view.entity.join_key,
        "filter": None if condition is None else expression(condition.node),
        "derived": [
            {"name": name, "type": str(one.type), "expression": expression(one.node)}
            for name, one in view.derived_expressions.items()
        ],
        "columns": [{"name": name, "type": str(types[name])} for name in plan.columns],
        "partials": [_partial(partial) for partial in plan.partials],
        "features": [_feature(plan, feature) for feature in view.features],
    }


def _partial(partial: object) -> dict[str, Any]:  # noqa: PLR0911 - one return for each kind
    match partial:
        case sums.CountPartial():
            return {"kind": "count"}
        case sums.MomentsPartial(position, floating, with_squares):
            described = {"floating": floating, "with_squares": with_squares}
            return {"kind": "moments", "column": position, **described}
        case kept.ExtremePartial(position, greatest):
            return {"kind": "extreme", "column": position, "greatest": greatest}
        case kept.EdgePartial(positions, last):
            return {"kind": "edge", "columns": list(positions.values()), "last": last}
        case kept.DistinctPartial(position):
            return {"kind": "distinct", "column": position}
        case kept.ThetaPartial(position):
            return {"kind": "theta", "column": position}
        case kept.HistogramPartial(position):
            return {"kind": "histogram", "column": position}
    message = f"no plan for the partial {partial!r}"
    raise TypeError(message)


def _feature(plan: PartialPlan, feature: Feature) -> dict[str, Any]:
    place = plan.position[feature.name]
    partial = plan.partials[place]
    described: dict[str, Any] = {
        "name": feature.name,
        "kind": str(feature.kind),
        "partial": place,
        "type": str(feature.type),
        "window": _window(feature.window),
        "exclude_current": feature.exclude_current,
        "default": feature.default,
    }
    if isinstance(partial, kept.EdgePartial):
        described["edge_column"] = list(partial.positions).index(str(feature.column))
    if feature.q is not None:
        described["q"] = [feature.q.numerator, feature.q.denominator]
    return described


def _window(window: Window) -> dict[str, Any]:
    delayed = {"delay_ms": window.delay_ms}
    match window:
        case Sliding():
            sizes = {"size_ms": window.size_ms, "hop_ms": window.hop_ms}
            return {"kind": "sliding", **sizes, **delayed}
        case Tumbling():
            return {"kind": "tumbling", "size_ms": window.size_ms, **delayed}
        case Session():
            return {"kind": "session", "gap_ms": window.gap_ms, **delayed}
        case Unbounded():
            return {"kind": "unbounded", **delayed}
