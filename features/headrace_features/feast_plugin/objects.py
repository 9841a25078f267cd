"""Feast's registry objects, generated from the definitions."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

import feast
from feast.data_format import DeltaFormat

from headrace_features.definitions.fingerprint import fingerprint, meaning
from headrace_features.definitions.portable import portable
from headrace_features.definitions.services import TERMS, FeatureService, Terms
from headrace_features.definitions.sources import Entity, EventSource
from headrace_features.definitions.views import FeatureView
from headrace_features.feast_plugin.changes import (
    ASKED_TAG,
    DEFINITION_TAG,
    FINGERPRINT_TAG,
    MANAGED_TAG,
    MEANING_TAG,
    VERSION_TAG,
    asked_by,
)
from headrace_features.feast_plugin.field_types import FIELD_TYPES
from headrace_features.feast_plugin.on_demand_objects import on_demand_object
from headrace_features.project import Project
from headrace_schemas.columns import ColumnType

_USUAL = Terms()
#: Tags of a service that say on what terms it is answered.
_TERM_TAGS = {name: f"headrace.{name}" for name in TERMS}
_MANAGED = {MANAGED_TAG: "true"}
_KEY_TYPES = {
    ColumnType.INT64: feast.ValueType.INT64,
    ColumnType.STRING: feast.ValueType.STRING,
}


def registry_objects(project: Project, table_path: Any) -> list[Any]:
    """Every entity, view, on-demand view and service of a project as Feast objects.

    Args:
        project: the definitions.
        table_path: from the name of a table to its path or URL.
    """
    entities = {name: _entity(entity, project) for name, entity in project.entities.items()}
    # One object for each source: Feast takes two equal ones for two sources of the same name.
    sources = {name: _source(source, table_path) for name, source in project.sources.items()}
    views = {
        name: _view(view, entities[view.entity.name], sources[view.source.name])
        for name, view in project.views.items()
    }
    on_demand = {name: on_demand_object(view, views) for name, view in project.on_demand.items()}
    services = [_service(service, {**views, **on_demand}) for service in project.services.values()]
    return [*entities.values(), *views.values(), *on_demand.values(), *services]


def push_source_name(source: str) -> str:
    """What the push source of an event source is called."""
    return f"{source}_push"


def is_ours(view: Any) -> bool:
    """Whether a Feast view was generated from our definitions."""
    return FINGERPRINT_TAG in view.tags


def _entity(entity: Entity, project: Project) -> feast.Entity:
    types = {
        view.source.column(entity.join_key).type
        for view in project.views.values()
        if view.entity == entity
    }
    kind = types.pop() if types else ColumnType.STRING
    return feast.Entity(
        name=entity.name,
        join_keys=[entity.join_key],
        value_type=_KEY_TYPES[kind],
        description=entity.description,
        owner=entity.owner,
        tags={**entity.tags, **_MANAGED},
    )


def _source(source: EventSource, table_path: Any) -> feast.PushSource:
    """Where a view's events come from: pushed to the stream, and in history from the lake."""
    table = feast.FileSource(
        name=source.name,
        path=table_path(source.table),
        timestamp_field=source.event_time,
        file_format=DeltaFormat(),
        description=source.description,
        owner=source.owner,
        tags=dict(source.tags),
    )
    return feast.PushSource(
        name=push_source_name(source.name),
        batch_source=table,
        description=source.description,
        owner=source.owner,
        tags={**source.tags, **_MANAGED},
    )


def _view(view: FeatureView, entity: feast.Entity, source: feast.PushSource) -> feast.FeatureView:
    key_type = view.source.column(view.entity.join_key).type
    return feast.FeatureView(
        name=view.name,
        entities=[entity],
        ttl=timedelta(0),
        schema=[
            feast.Field(name=view.entity.join_key, dtype=FIELD_TYPES[key_type]),
            *(feast.Field(name=f.name, dtype=FIELD_TYPES[f.type]) for f in view.features),
        ],
        source=source,
        online=True,
        description=view.description,
        owner=view.owner,
        tags={
            **view.tags,
            **_MANAGED,
            VERSION_TAG: str(view.version),
            FINGERPRINT_TAG: fingerprint(view),
            MEANING_TAG: _compact(meaning(view)),
            DEFINITION_TAG: _compact(portable(view)),
        },
    )


def _compact(data: Mapping[str, Any]) -> str:
    return json.dumps(data, sort_keys=True, separators=(",", ":"))


def _service(service: FeatureService, views: Mapping[str, Any]) -> feast.FeatureService:
    chosen: Sequence[Any] = [views[one.view.name][list(one.names)] for one in service.asked]
    return feast.FeatureService(
        name=service.name,
        features=list(chosen),
        description=service.description,
        owner=service.owner,
        tags={
            **service.tags,
            **_MANAGED,
            **_terms(service.terms),
            ASKED_TAG: json.dumps(asked_by(service), separators=(",", ":")),
        },
    )


def terms_of(asked: Any) -> Terms:
    """On what terms a Feast feature service is answered; features by name are on the usual ones."""
    if not isinstance(asked, feast.FeatureService):
        return _USUAL
    given = {name: asked.tags[tag] for name, tag in _TERM_TAGS.items() if tag in asked.tags}
    return Terms(**given) if given else _USUAL


def _terms(terms: Terms) -> dict[str, str]:
    """The tags of terms that aren't the usual ones."""
    return {
        tag: getattr(terms, name)
        for name, tag in _TERM_TAGS.items()
        if getattr(terms, name) != getattr(_USUAL, name)
    }
