"""`headrace plan`: what has changed in the definitions, and what that needs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from headrace_orchestration.output import JsonOption, console, print_json
from headrace_orchestration.session import current_project
from headrace_schemas.counted import counted

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from headrace_batch.quality.baselines import MissingBaseline
    from headrace_features.feast_plugin.changes import ServiceChange, ViewChange
    from headrace_features.project import Project
    from headrace_orchestration.needed_work import NeededWork
    from headrace_schemas.settings import Settings

_MARKS = {"added": "+", "changed": "~", "removed": "-", "unchanged": " ", "refused": "!"}


class Planned(NamedTuple):
    """What is declared, how it differs from what is registered, and what that needs."""

    settings: Settings
    project: Project
    found: Sequence[ViewChange]
    services: Sequence[ServiceChange]
    work: Sequence[NeededWork]
    served: Mapping[str, int]
    baselines: Sequence[MissingBaseline]


def plan(as_json: JsonOption = False) -> None:
    """Show what apply would do; nothing is changed.

    Ends with an error if a view means something else without a new version.
    """
    from headrace_features.feast_plugin.changes import refuse_silent_changes

    _, _, found, services, work, served, baselines = planned()
    if as_json:
        print_json(
            [
                *(
                    {
                        **described(one),
                        "to_do": [needed for needed in work if one.view in needed.views],
                    }
                    for one in found
                ),
                *map(described_service, services),
                *map(described_baseline, baselines),
            ]
        )
    else:
        show(found, work, served)
        show_services(services)
        show_baselines(baselines)
    refuse_silent_changes(found)


def planned() -> Planned:
    """What `plan` shows and `apply` does: one list, so that they can't differ.

    Raises:
        ConfigurationError: settings, definitions, registry or lake can't be used.
        RetryableError: the lake or the online store doesn't answer.
    """
    from headrace_batch.quality.baselines import missing_baselines
    from headrace_batch.warehouse import Warehouse
    from headrace_features.feast_plugin.registry_file import (
        pending_changes,
        pending_service_changes,
    )
    from headrace_features.online.live import live_project, served_versions
    from headrace_orchestration.needed_work import needed_work

    settings, project = current_project()
    served = served_versions(live_project(settings, project))
    found = pending_changes(settings, project, served)
    services = pending_service_changes(settings, project)
    work = needed_work(settings, project, found)
    baselines = missing_baselines(Warehouse.of(settings), project.gates.values())
    return Planned(settings, project, found, services, work, served, baselines)


def show(
    found: Iterable[ViewChange], work: Iterable[NeededWork], served: Mapping[str, int]
) -> None:
    """Print changes of views, each with what it needs, and which other version is served."""
    out = console()
    for change in found:
        versions = f"version {change.version or change.registered_version}"
        if change.kind == "changed":
            versions = f"version {change.registered_version} → {change.version}"
        out.print(f"{_MARKS[change.kind]} {change.view}: {change.kind}, {versions}")
        for line in change.differences:
            out.print(f"    {line}")
        other = served.get(change.view)
        needed = any(change.view in one.views for one in work)
        if change.kind == "unchanged" and other not in {None, change.version} and not needed:
            out.print(
                f"    version {other} is served; for this one:"
                f" headrace promote {change.view} --version {change.version}",
                soft_wrap=True,
            )
        for one in work:
            if change.view == one.views[0]:
                cost = f"{counted(one.events, 'event')}, {about(one.seconds)} on two cores"
                out.print(f"    to do: {one.command} ({cost})", soft_wrap=True)
            elif change.view in one.views:
                out.print(f"    to do: nothing but {one.command}, above or below", soft_wrap=True)


def about(seconds: float) -> str:
    """About how long something takes."""
    return f"about {max(seconds, 1):,.0f} s"


def show_services(found: Iterable[ServiceChange]) -> None:
    """Print changes of services."""
    out = console()
    for change in found:
        out.print(f"{_MARKS[change.kind]} service {change.service}: {change.kind}")
        for line in change.differences:
            out.print(f"    {line}")


def show_baselines(found: Iterable[MissingBaseline]) -> None:
    """Print which baselines gates wait for, each with what makes it."""
    for one in found:
        console().print(
            f"! baseline {one.name}: missing, the gate of {one.of} compares with it", soft_wrap=True
        )
        console().print(f"    to do: {one.command}", soft_wrap=True)


def described_baseline(one: MissingBaseline) -> dict[str, Any]:
    """A missing baseline, for programs."""
    return {"baseline": one.name, "of": one.of, "change": "missing", "command": one.command}


def described_service(change: ServiceChange) -> dict[str, Any]:
    """A change of a service, for programs."""
    return {
        "service": change.service,
        "change": str(change.kind),
        "differences": list(change.differences),
    }


def described(change: ViewChange) -> dict[str, Any]:
    """A change of a view, for programs."""
    return {
        "view": change.view,
        "change": str(change.kind),
        "registered_version": change.registered_version,
        "version": change.version,
        "differences": list(change.differences),
    }
