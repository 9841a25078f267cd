"""All that there is to tell of a feature's lineage, and the same for programs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from headrace_features.definitions.on_demand import OnDemandView
from headrace_orchestration.lineage.downstream import feature_below, services_with
from headrace_orchestration.lineage.graph import graph_of
from headrace_orchestration.lineage.nodes import Node
from headrace_orchestration.lineage.runs import read_events, runs_of
from headrace_orchestration.lineage.served import Served, served
from headrace_orchestration.lineage.upstream import (
    feature_above,
    on_demand_above,
    spelled_offsets,
)
from headrace_orchestration.lineage.value import EventUsed

if TYPE_CHECKING:
    from headrace_features.definitions.views import FeatureView
    from headrace_features.project import Project
    from headrace_schemas.settings import Settings


@dataclass(frozen=True, slots=True)
class FeatureLineage:
    """A feature.

    Attributes:
        feature: as view:feature.
        version: of its view, as it is served.
        type: of its values.
        owner, tags, description: of its view.
        upstream: what it is made of.
        served: of which events what readers get is made; None for one that is computed on demand.
        downstream: what is made of it.
        runs: how many runs are recorded in all.
    """

    feature: str
    version: int
    type: str
    owner: str
    tags: Mapping[str, str]
    description: str
    upstream: tuple[Node, ...]
    served: Served | None
    downstream: tuple[Node, ...]
    runs: int


def feature_lineage(
    settings: Settings, project: Project, view: FeatureView | OnDemandView, name: str
) -> FeatureLineage:
    """The lineage of a feature.

    Args:
        settings: where lake, store, registry and recorded runs are.
        project: what is declared.
        view: as it is served.
        name: of the feature.

    Raises:
        ConfigurationError: a table is damaged, or the registry can't be read.
        RetryableError: the lake or the online store doesn't answer.
    """
    runs = runs_of(read_events(settings.lineage.path))
    graph = graph_of(runs)
    if isinstance(view, OnDemandView):
        upstream = on_demand_above(settings, graph, view, name)
        layers = None
        downstream = services_with(settings, project, view.name, name)
    else:
        upstream = (feature_above(settings, graph, view, name),)
        layers = served(settings, graph, view)
        downstream = feature_below(settings, graph, project, view, name)
    return FeatureLineage(
        f"{view.name}:{name}",
        view.version,
        str(view.feature(name).type),
        view.owner,
        view.tags,
        view.description,
        upstream,
        layers,
        downstream,
        len(runs),
    )


def described(found: FeatureLineage, used: Sequence[EventUsed] | None) -> dict[str, Any]:
    """The same for programs; `used` are the events of one value, if one was asked for."""
    told = {
        "feature": found.feature,
        "version": found.version,
        "type": found.type,
        "owner": found.owner,
        "tags": dict(found.tags),
        "description": found.description,
        "upstream": [node.described() for node in found.upstream],
        "served": None if found.served is None else _served(found.served),
        "downstream": [node.described() for node in found.downstream],
        "recorded_runs": found.runs,
    }
    return told if used is None else {**told, "events": [asdict(one) for one in used]}


def _served(served: Served) -> dict[str, Any]:
    layers: dict[str, Any] = {"batch": None, "stream": None}
    for name, layer in (("batch", served.batch), ("stream", served.stream)):
        if layer is not None:
            told = asdict(layer)
            spans = layer.offsets
            told["offsets"] = None if spans is None else spelled_offsets(spans)
            layers[name] = told
    return layers
