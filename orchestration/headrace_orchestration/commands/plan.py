"""`headrace plan` and `headrace apply`: what has changed in the definitions, and registering it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from headrace_orchestration.output import JsonOption, console, print_json
from headrace_orchestration.session import current_project
from headrace_schemas.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from headrace_features.feast_plugin.changes import ServiceChange, ViewChange
    from headrace_features.project import Project
    from headrace_orchestration.needed_work import NeededWork

_MARKS = {"added": "+", "changed": "~", "removed": "-", "unchanged": " ", "refused": "!"}


def plan(as_json: JsonOption = False) -> None:
    """Show what apply would register; nothing is changed.

    Ends with an error if a view means something else without a new version.
    """
    from headrace_features.feast_plugin.changes import refuse_silent_changes
    from headrace_features.feast_plugin.registry_file import (
        pending_changes,
        pending_service_changes,
    )
    from headrace_features.online.live import live_project, served_versions
    from headrace_orchestration.needed_work import needed_work

    settings, project = current_project()
    found = pending_changes(settings, project, served_versions(live_project(settings, project)))
    services = pending_service_changes(settings, project)
    work = needed_work(settings, project, found)
    if as_json:
        described = [_described(one) for one in found]
        for one in described:
            one["to_do"] = [needed for needed in work if needed.view == one["view"]]
        print_json([*described, *map(_described_service, services)])
    else:
        _show(found, work)
        _show_services(services)
    refuse_silent_changes(found)


def apply(as_json: JsonOption = False) -> None:
    """Register the definitions in Feast's registry.

    Where a stream serves another version of a view, that is registered by promoting it.
    """
    from headrace_features.feast_plugin import repository
    from headrace_features.feast_plugin.registry_file import pending_service_changes
    from headrace_features.online.live import live_project, served_versions

    settings, project = current_project()
    live = live_project(settings, project)
    _require_served(project, live)
    services = pending_service_changes(settings, project)
    found = repository.apply(settings, project, served_versions(live))
    if as_json:
        print_json([*map(_described, found), *map(_described_service, services)])
        return
    _show(found)
    _show_services(services)
    console().print(f"registered in {settings.feast.registry}")
    fresh = [
        f"--view {change.view}"
        for change in found
        # What is computed on demand has no values to be put anywhere.
        if change.kind in {"added", "changed"} and change.view in project.views
    ]
    if fresh:
        told = f"headrace materialize {' '.join(fresh)}"
        console().print(f"their values online come from: {told}, and a stream", soft_wrap=True)


def _require_served(project: Project, live: Project) -> None:
    """See that what would be registered is what is served, where versions are side by side."""
    for name, view in project.views.items():
        served = live.views.get(name, view)
        if served.version != view.version:
            raise ConfigurationError(
                f"version {served.version} of {name} is served, and version {view.version} is"
                " declared",
                hint=f"headrace replay {name} --to-version {view.version}, then headrace promote"
                f" {name} --version {view.version}, which registers it",
            )


def _show(found: Iterable[ViewChange], work: Iterable[NeededWork] = ()) -> None:
    out = console()
    for change in found:
        versions = f"version {change.version or change.registered_version}"
        if change.kind == "changed":
            versions = f"version {change.registered_version} → {change.version}"
        out.print(f"{_MARKS[change.kind]} {change.view}: {change.kind}, {versions}")
        for line in change.differences:
            out.print(f"    {line}")
        for one in work:
            if one.view == change.view:
                about = f"{one.events:,} events, about {max(one.seconds, 1):,.0f} s on two cores"
                out.print(f"    to do: {one.command} ({about})", soft_wrap=True)


def _show_services(found: Iterable[ServiceChange]) -> None:
    out = console()
    for change in found:
        out.print(f"{_MARKS[change.kind]} service {change.service}: {change.kind}")
        for line in change.differences:
            out.print(f"    {line}")


def _described_service(change: ServiceChange) -> dict[str, Any]:
    return {
        "service": change.service,
        "change": str(change.kind),
        "differences": list(change.differences),
    }


def _described(change: ViewChange) -> dict[str, Any]:
    return {
        "view": change.view,
        "change": str(change.kind),
        "registered_version": change.registered_version,
        "version": change.version,
        "differences": list(change.differences),
    }
