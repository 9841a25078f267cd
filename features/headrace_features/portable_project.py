"""A project's views and decisions as plain data, without the code that declares them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec

from headrace_features.decisions import decisions_of
from headrace_features.definitions.decisions import Decisions, Rule
from headrace_features.definitions.portable import from_portable, portable
from headrace_features.definitions.portable_sources import portable_source, source_from
from headrace_features.definitions.services import FeatureService
from headrace_features.definitions.views import Selection
from headrace_features.project import Project
from headrace_schemas.errors import ConfigurationError

#: What is said to people, and how: it makes no difference to what is computed and kept.
_FOR_PEOPLE = frozenset({"format", "description", "owner", "tags"})


class _Rule(msgspec.Struct, frozen=True):
    name: str
    when: str
    description: str


class _Decisions(msgspec.Struct, frozen=True):
    name: str
    source: str
    service: str
    features: dict[str, list[str]]
    rules: list[_Rule]


class _Project(msgspec.Struct, frozen=True):
    name: str
    namespace: str
    sources: dict[str, Any]
    views: dict[str, Any]
    decisions: list[_Decisions]


def portable_project(project: Project) -> dict[str, Any]:
    """What a stream job and readers need of a project, as JSON-compatible data.

    That is its views, and all decisions, those too that are implied. On-demand views and services
    for reading are left out.
    """
    decisions = decisions_of(project)
    sources = {one.source.name: one.source for one in decisions}
    document = _Project(
        name=project.name,
        namespace=project.namespace,
        sources={name: portable_source(source) for name, source in sources.items()},
        views={name: portable(view) for name, view in project.views.items()},
        decisions=[
            _Decisions(
                name=one.name,
                source=one.source.name,
                service=one.service.name,
                features={
                    chosen.view.name: list(chosen.names) for chosen in one.service.selections
                },
                rules=[_Rule(rule.name, rule.when, rule.description) for rule in one.rules],
            )
            for one in decisions
        ],
    )
    found: dict[str, Any] = msgspec.to_builtins(document)
    return found


def portable_in(project: Project, namespace: str) -> dict[str, Any]:
    """The same, as it is kept in a namespace."""
    return portable_project(replace(project, namespace=namespace))


def declare_alike(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Whether the documents of two projects declare the same, whatever they say to people of it."""
    return _declared(one) == _declared(other)


def _declared(document: Mapping[str, Any]) -> dict[str, Any]:
    return {
        **document,
        "sources": {name: _bare(source) for name, source in document["sources"].items()},
        "views": {
            name: _bare(view) | {part: _bare(view[part]) for part in ("entity", "source")}
            for name, view in document["views"].items()
        },
        "decisions": [
            {**decision, "rules": [_bare(rule) for rule in decision["rules"]]}
            for decision in document["decisions"]
        ],
    }


def _bare(part: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in part.items() if name not in _FOR_PEOPLE}


def project_from(document: Mapping[str, Any]) -> Project:
    """The project of a document: its views are kept in the namespace that it tells.

    Raises:
        ConfigurationError: the document is damaged.
    """
    try:
        read = msgspec.convert(document, _Project)
    except msgspec.ValidationError as error:
        raise ConfigurationError(
            f"the definitions of a project are damaged: {error}",
            hint="have them written anew: headrace stream deploy",
        ) from error
    sources = {name: source_from(one) for name, one in read.sources.items()}
    views = {}
    for name, one in read.views.items():
        view = from_portable(one)
        sources.setdefault(view.source.name, view.source)
        views[name] = replace(view, namespace=read.namespace)
    services, decisions = {}, {}
    for declared in read.decisions:
        chosen = [Selection(views[name], tuple(names)) for name, names in declared.features.items()]
        service = services[declared.service] = FeatureService(declared.service, chosen)
        rules = [Rule(rule.name, rule.when, rule.description) for rule in declared.rules]
        source = sources[declared.source]
        decisions[declared.name] = Decisions(declared.name, source, service, rules)
    return Project(
        name=read.name,
        entities={view.entity.name: view.entity for view in views.values()},
        sources=sources,
        views=views,
        services=services,
        decisions=decisions,
        namespace=read.namespace,
        is_declared=False,
    )


def read_definitions(path: Path) -> Project:
    """The project whose document is in a file.

    Raises:
        ConfigurationError: there is no such file, or no such document in it.
    """
    try:
        return project_from(json.loads(path.read_bytes()))
    except (OSError, ValueError) as error:
        raise ConfigurationError(
            f"{path} has no definitions of a project: {error}",
            hint="it is written by headrace replay and headrace promote",
        ) from error
