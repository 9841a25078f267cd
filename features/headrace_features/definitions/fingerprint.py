"""What a view means, as plain data and as a hash that changes only when the meaning does."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

from headrace_features.definitions.aggregates import Kind
from headrace_features.definitions.on_demand import OnDemandView
from headrace_features.definitions.windows import Session, Sliding, Tumbling, Unbounded, Window

if TYPE_CHECKING:
    from headrace_features.definitions.views import Feature, FeatureView, Selection


def meaning(view: FeatureView | OnDemandView) -> dict[str, Any]:
    """Everything that a value of the view depends on, as JSON-compatible data.

    Names, owners and descriptions are no part of it, nor are columns that the view doesn't read;
    spaces and brackets of expressions aren't either. What an on-demand view reads is part of it,
    and nothing else of its inputs.
    """
    if isinstance(view, OnDemandView):
        return {
            "inputs": {
                selection.view.name: _read(selection) for selection in view.reads(view.features)
            },
            "request": {name: str(kind) for name, kind in sorted(view.request_types.items())},
            "on_demand": {feature.name: repr(feature.expression.node) for feature in view.computed},
        }
    source = view.source
    condition = view.filter_expression
    return {
        "join_key": view.entity.join_key,
        "source": {
            "name": source.name,
            "event_time": source.event_time,
            "dedup_key": source.dedup_key,
            "available_at": source.available_at,
            "columns": {name: str(source.column(name).type) for name in sorted(view.input_columns)},
        },
        "filter": None if condition is None else repr(condition.node),
        "derived": {
            name: repr(expression.node)
            for name, expression in sorted(view.derived_expressions.items())
        },
        "features": {feature.name: _feature(feature) for feature in view.features},
    }


def fingerprint(view: FeatureView | OnDemandView) -> str:
    """A hash of the view's meaning, 32 hexadecimal digits."""
    text = json.dumps(meaning(view), sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def _read(selection: Selection) -> dict[str, Any]:
    """The meaning of some features of a view: what only its other features need is no part of it.

    The same features of a view that has got others mean what they meant.
    """
    view, full = selection.view, meaning(selection.view)
    source = view.source
    columns = {view.entity.join_key, source.event_time, source.dedup_key, source.available_at}
    columns.update(view.feature(name).column for name in selection.names)
    if view.filter_expression is not None:
        columns.update(view.filter_expression.columns)
    derived = {name: text for name, text in full["derived"].items() if name in columns}
    columns.update(name for one in derived for name in view.derived_expressions[one].columns)
    types = {name: kind for name, kind in full["source"]["columns"].items() if name in columns}
    return {
        **full,
        "source": {**full["source"], "columns": types},
        "derived": derived,
        "features": {name: full["features"][name] for name in selection.names},
    }


def _feature(feature: Feature) -> dict[str, Any]:
    described: dict[str, Any] = {
        "aggregate": str(feature.kind),
        "window": _window(feature.window),
        "type": str(feature.type),
    }
    if feature.kind is not Kind.COUNT:
        described["column"] = feature.column
    if feature.exclude_current:
        described["exclude_current"] = True
    if feature.default is not None:
        described["default"] = feature.default
    if feature.q is not None:
        described["q"] = str(feature.q)
    return described


def _window(window: Window) -> dict[str, str]:
    match window:
        case Sliding(size, hop, delay):
            return {"sliding": size, "hop": hop, "delay": delay}
        case Tumbling(size, delay):
            return {"tumbling": size, "delay": delay}
        case Session(gap, delay):
            return {"session": gap, "delay": delay}
        case Unbounded(delay):
            return {"unbounded": "all events", "delay": delay}
