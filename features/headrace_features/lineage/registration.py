"""What is told when definitions are registered in Feast: views over the events of the lake."""

from __future__ import annotations

from typing import TYPE_CHECKING

from headrace_features.lineage.places import file_place, registry_place
from headrace_features.lineage.told import Told, Work, told_of_source, told_of_view
from headrace_schemas.tables import relative_path

if TYPE_CHECKING:
    from headrace_features.definitions.sources import EventSource
    from headrace_features.lineage.places import Place
    from headrace_features.project import Project
    from headrace_schemas.settings import Settings


def registration(settings: Settings, project: Project) -> Work:
    """The registration of a project's views and services."""
    sources = project.sources.values()
    reads = tuple(told_of_source(one, _events(settings, one)) for one in sources)
    views = tuple(
        told_of_view(
            view, registry_place(settings, "view", view.name), _events(settings, view.source)
        )
        for view in project.views.values()
    )
    services = tuple(
        Told(
            registry_place(settings, "service", one.name),
            description=one.description,
            owner=one.owner,
        )
        for one in project.services.values()
    )
    return Work("apply", reads, (*views, *services))


def _events(settings: Settings, source: EventSource) -> Place:
    return file_place(f"{settings.warehouse.path.rstrip('/')}/{relative_path(source.table)}")
