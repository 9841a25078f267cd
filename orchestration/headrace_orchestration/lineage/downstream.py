"""What is made of a feature: tables, state online, services, decisions, training sets."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from headrace_batch.staging.told import STAGE
from headrace_batch.warehouse import Warehouse
from headrace_features.definitions.views import SEPARATOR
from headrace_features.feast_plugin.registry_file import registered_services, registered_views
from headrace_features.lineage.places import file_place, store_place
from headrace_features.lineage.told import FACTS_FACET
from headrace_features.online.served import view_key
from headrace_orchestration.lineage.nodes import Node, recorded_below, writers
from headrace_schemas.tables import features_table
from headrace_schemas.topics import ALERTS, DECISIONS

if TYPE_CHECKING:
    from headrace_features.definitions.views import FeatureView
    from headrace_features.project import Project
    from headrace_orchestration.lineage.graph import Graph
    from headrace_schemas.settings import Settings


def feature_below(
    settings: Settings, graph: Graph, project: Project, view: FeatureView, name: str
) -> tuple[Node, ...]:
    """What is made of a feature of a view.

    Args:
        settings: where lake, store and registry are.
        graph: of recorded runs.
        project: what is declared.
        view: as it is served.
        name: of the feature.

    Raises:
        ConfigurationError: the registry can't be read, or a table is damaged.
        RetryableError: the lake can't be reached.
    """
    return (
        *_history(settings, graph, view),
        _online(settings, graph, view),
        *_on_demand(settings, project, view, name),
        *services_with(settings, project, view.name, name),
        *_decisions(project, view, name),
        *_training_sets(graph, f"{view.name}{SEPARATOR}{name}"),
    )


def services_with(
    settings: Settings, project: Project, view: str, feature: str
) -> tuple[Node, ...]:
    """The services that ask for a feature."""
    known = registered_services(settings.feast.registry, settings.project.name)
    nodes = []
    for service in project.services.values():
        if any(one.view.name == view and feature in one.names for one in service.asked):
            facts: dict[str, Any] = {"registered": service.name in known}
            if service.owner:
                facts["owner"] = service.owner
            nodes.append(Node("service", service.name, facts))
    return tuple(nodes)


def _history(settings: Settings, graph: Graph, view: FeatureView) -> tuple[Node, ...]:
    """The table with the value at each event, if there is one."""
    name = features_table(view.name, view.version)
    warehouse = Warehouse.of(settings)
    table = warehouse.find(name)
    if table is None:
        return ()
    place = file_place(warehouse.uri(name))
    facts = {"uri": warehouse.uri(name), "version": table.version()}
    below = recorded_below(graph, place)
    return (Node("table", name, facts, writers(graph, place), below),)


def _online(settings: Settings, graph: Graph, view: FeatureView) -> Node:
    place = store_place(settings, view_key(view))
    registered = registered_views(settings.feast.registry, settings.project.name).get(view.name)
    facts = {
        "namespace": place.namespace,
        "registered_version": None if registered is None else registered.version,
    }
    below = recorded_below(graph, place)
    return Node("online store", view_key(view), facts, writers(graph, place), below)


def _on_demand(
    settings: Settings, project: Project, view: FeatureView, name: str
) -> tuple[Node, ...]:
    column = f"{view.name}{SEPARATOR}{name}"
    return tuple(
        Node(
            "on-demand feature",
            f"{made.name}:{feature.name}",
            {"expression": made.features[feature.name]},
            following=services_with(settings, project, made.name, feature.name),
        )
        for made in project.on_demand.values()
        for feature in made.computed
        if column in feature.expression.columns
    )


def _decisions(project: Project, view: FeatureView, name: str) -> tuple[Node, ...]:
    """The decisions that see a feature, with the rules that read it."""
    column = f"{view.name}{SEPARATOR}{name}"
    nodes = []
    for one in project.decisions.values():
        asked = one.service.selections
        if not any(chosen.view.name == view.name and name in chosen.names for chosen in asked):
            continue
        rules = [
            rule.name
            for rule, condition in zip(one.rules, one.conditions, strict=True)
            if column in condition.columns
        ]
        topics = tuple(Node("topic", topic) for topic in (DECISIONS, ALERTS))
        facts: dict[str, Any] = {"rules": rules}
        if one.owner:
            facts["owner"] = one.owner
        nodes.append(Node("decisions", one.name, facts, following=topics))
    return tuple(nodes)


def _training_sets(graph: Graph, column: str) -> tuple[Node, ...]:
    """The published sets that have a column, by what their last publication told."""
    nodes = []
    for place, runs in graph.writers.items():
        for job, run in runs.items():
            facets = run.writes.get(place, {})
            fields = (facets.get("schema") or {}).get("fields") or ()
            # After the name of the project.
            step = job.name.partition(".")[2]
            if step.startswith(STAGE) and any(one.get("name") == column for one in fields):
                told = (facets.get(FACTS_FACET) or {}).get("facts") or {}
                facts = {"uri": place.name, "set_id": told.get("set_id")}
                nodes.append(Node("training set", step.removeprefix(STAGE), facts, (run,)))
    return tuple(nodes)
