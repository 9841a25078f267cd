"""On-demand views as Feast knows them: what they take and give, and no code that it could run.

Feast keeps a transformation in its registry as pickled code, runs it on protocol buffers that were
made of values and are made into values again, and in its Python mode finds no result under full
names. Our stores evaluate the expressions themselves, on the values that they have just read or
computed. So the registry has the name of a function of ours, which says just that.
"""

from __future__ import annotations

import copy
import json
from types import FunctionType
from typing import Any, Never, Self, cast

import feast
from feast.data_source import RequestSource
from feast.feature_view_projection import FeatureViewProjection
from feast.transformation.python_transformation import PythonTransformation

from headrace_features.definitions.fingerprint import fingerprint, meaning
from headrace_features.definitions.on_demand import OnDemandView
from headrace_features.feast_plugin.changes import (
    FINGERPRINT_TAG,
    MANAGED_TAG,
    MEANING_TAG,
    VERSION_TAG,
)
from headrace_features.feast_plugin.field_types import FIELD_TYPES
from headrace_schemas.errors import UnsupportedError

_MANAGED = {MANAGED_TAG: "true"}


def evaluated_by_headrace(columns: dict[str, Any]) -> Never:
    """Stand in for the transformation of every on-demand view."""
    del columns
    raise UnsupportedError(
        "on-demand features of Headrace are evaluated by its stores, not by Feast",
        hint="set the online_store and offline_store of feature_store.yaml to those of Headrace",
    )


class _Declared(PythonTransformation):
    """A transformation whose results are declared, and so needn't be tried out to be known."""

    def __init__(self, view: OnDemandView) -> None:
        super().__init__(cast("FunctionType", evaluated_by_headrace), _described(view))
        self._fields = fields_of(view)

    def __new__(cls, view: OnDemandView) -> Self:
        """Make one; Feast's own hands the arguments of its constructor on."""
        del view
        return object.__new__(cls)

    def infer_features(self, *arguments: Any, **options: Any) -> list[feast.Field]:
        """The declared features, whatever Feast would try them with."""
        del arguments, options
        return self._fields


def on_demand_object(
    view: OnDemandView, views: dict[str, feast.FeatureView]
) -> feast.OnDemandFeatureView:
    """A view for the registry; `views` are those that it may read, by name.

    Feast would read, and in histories give out, each feature that the projections of the sources
    name. They name none: our stores know what the expressions read.
    """
    sources: list[Any] = [
        _projection(views[selection.view.name]) for selection in view.reads(view.features)
    ]
    if view.request_types:
        fields = [
            feast.Field(name=name, dtype=FIELD_TYPES[kind])
            for name, kind in view.request_types.items()
        ]
        sources.append(RequestSource(name=f"{view.name}_request", schema=fields, tags=_MANAGED))
    return feast.OnDemandFeatureView(
        name=view.name,
        sources=sources,
        schema=fields_of(view),
        feature_transformation=_Declared(view),
        mode="python",
        description=view.description,
        owner=view.owner,
        tags={
            **view.tags,
            **_MANAGED,
            VERSION_TAG: str(view.version),
            FINGERPRINT_TAG: fingerprint(view),
            MEANING_TAG: json.dumps(meaning(view), sort_keys=True, separators=(",", ":")),
        },
    )


def _projection(view: feast.FeatureView) -> FeatureViewProjection:
    found = copy.copy(view.projection)
    found.features, found.desired_features = [], []
    return found


def fields_of(view: OnDemandView) -> list[feast.Field]:
    """The features of a view."""
    return [feast.Field(name=one.name, dtype=FIELD_TYPES[one.type]) for one in view.computed]


def _described(view: OnDemandView) -> str:
    """What Feast shows for the source of the transformation, and compares to see a change.

    Feast executes this text when it reads the registry: it is all comments.
    """
    lines = [f"{name} = {' '.join(text.split())}" for name, text in view.features.items()]
    return "\n".join(f"# {line}" for line in ("evaluated by Headrace:", *lines))
