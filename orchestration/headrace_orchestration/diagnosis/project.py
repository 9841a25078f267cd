"""What a project has: definitions, tables, online store and registry. Nothing of it is changed."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, entry_points
from pathlib import Path
from typing import TYPE_CHECKING

from headrace_features.engines import GROUP
from headrace_features.feast_plugin.changes import ChangeKind, changes, service_changes
from headrace_features.feast_plugin.registry_file import registered_services, registered_views
from headrace_features.online.layers import NO_LAYERS
from headrace_features.online.served import view_key
from headrace_features.online.sqlite_store import SqliteStateStore
from headrace_features.project import load_project
from headrace_orchestration.diagnosis.checks import Check, Status, failed
from headrace_orchestration.diagnosis.packages import extra_check
from headrace_orchestration.diagnosis.redis import redis_checks
from headrace_schemas.counted import counted
from headrace_schemas.errors import ConfigurationError, HeadraceError

if TYPE_CHECKING:
    from headrace_features.project import Project
    from headrace_schemas.settings import Settings

_GIB = 2**30
#: Below it, a first backfill of some million events may fill the disk.
_LITTLE_SPACE_BYTES = 2 * _GIB


def project_checks(settings: Settings, environ: Mapping[str, str]) -> list[Check]:
    """One check for each part of a project; the embedded Redis has one more."""
    project: Project | None = None
    try:
        project = load_project(settings)
        definitions = _definitions(project)
    except HeadraceError as error:
        definitions = failed("definitions", error)
    return [
        definitions,
        *_gates(project),
        _engine(settings),
        _warehouse(settings),
        _disk(settings),
        *(
            redis_checks(settings, environ)
            if settings.online.type == "redis"
            else [_online_file(settings, project)]
        ),
        _registry(settings, project),
    ]


def _definitions(project: Project) -> Check:
    features = sum(len(view.features) for view in project.views.values())
    found = f"{counted(features, 'feature')} in {', '.join(project.views)}"
    if project.services:
        found += f"; for {', '.join(project.services)}"
    return Check("definitions", Status.OK, found)


def _gates(project: Project | None) -> Iterator[Check]:
    """What gates need: without it nothing is published that has one."""
    if project is not None and project.gates:
        purpose = f"the gates of {', '.join(project.gates)}"
        with suppress(PackageNotFoundError):
            yield extra_check("quality", Status.PROBLEM, purpose)


def _engine(settings: Settings) -> Check:
    wanted = settings.engine.default
    known = sorted({entry.name for entry in entry_points(group=GROUP)})
    if wanted in known:
        return Check("engine", Status.OK, wanted)
    found = f"{wanted} is not registered; known: {', '.join(known) or 'none'}"
    return Check("engine", Status.PROBLEM, found, "install headrace again: pip install headrace")


def _warehouse(settings: Settings) -> Check:
    place = settings.warehouse.path
    if "://" in place:
        options = ", ".join(settings.warehouse.storage_options) or "none"
        return Check("warehouse", Status.OK, f"{shown_url(place)}, not tried; options: {options}")
    folder = _nearest(Path(place))
    try:
        with tempfile.NamedTemporaryFile(dir=folder) as file:
            file.write(bytes(4096))
            file.flush()
    except OSError as error:
        found = f"{folder} can't be written: {error.strerror or error}"
        advice = f"see [warehouse] path, from {settings.source_of('warehouse.path')}"
        return Check("warehouse", Status.PROBLEM, found, advice)
    made = "" if folder == Path(place) else ", made by the first ingest"
    return Check("warehouse", Status.OK, f"{place}{made}")


def _disk(settings: Settings) -> Check:
    place = settings.warehouse.path
    folder = _nearest(settings.home if "://" in place else Path(place))
    free_bytes = shutil.disk_usage(folder).free
    found = f"{free_bytes / _GIB:,.1f} GiB free in {folder}"
    if free_bytes < _LITTLE_SPACE_BYTES:
        advice = "make room, or choose another place with HEADRACE_HOME"
        return Check("disk", Status.WARNING, found, advice)
    return Check("disk", Status.OK, found)


def _online_file(settings: Settings, project: Project | None) -> Check:
    name, path = "online store", settings.online.path
    if not path.exists():
        return Check(name, Status.OK, f"{path} is not there yet", "made by: headrace materialize")
    store = SqliteStateStore(path)
    try:
        # Opens it even where there is no view to look for.
        keys = {view.name: view_key(view) for view in (project.views.values() if project else ())}
        layers = store.read(dict.fromkeys(keys.values(), NO_LAYERS), ()).layers
        boundaries = {name: layers[key].batch for name, key in keys.items()}
    except HeadraceError as error:
        return failed(name, error)
    held = [
        f"{view} before {_day(generation.boundary_ms)}"
        for view, generation in boundaries.items()
        if generation is not None
    ]
    missing = [view for view, generation in boundaries.items() if generation is None]
    found = f"{path} has {', '.join(held) or 'no view'}"
    if missing:
        return Check(
            name,
            Status.WARNING if held else Status.OK,
            f"{found}; nothing of {', '.join(missing)} as declared",
            "headrace materialize",
        )
    return Check(name, Status.OK, found)


def _registry(settings: Settings, project: Project | None) -> Check:
    name, path = "registry", settings.feast.registry
    if not path.exists():
        return Check(name, Status.OK, f"{path} is not there yet", "made by: headrace apply")
    try:
        registered = registered_views(path, settings.project.name)
        services = registered_services(path, settings.project.name)
    except ConfigurationError as error:
        return failed(name, error)
    if project is None:
        return Check(name, Status.OK, f"{path} has {', '.join(sorted(registered)) or 'no views'}")
    found = [c for c in changes(registered, project) if c.kind is not ChangeKind.UNCHANGED]
    told = [f"{change.view} ({change.kind})" for change in found]
    told += [
        f"service {change.service} ({change.kind})"
        for change in service_changes(services, project)
        if change.kind is not ChangeKind.UNCHANGED
    ]
    if not told:
        return Check(name, Status.OK, f"{path} has views and services as they are declared")
    differs = f"not as declared: {', '.join(told)}"
    if any(change.kind is ChangeKind.REFUSED for change in found):
        advice = "a view that means something else needs a new version; see headrace plan"
        return Check(name, Status.PROBLEM, differs, advice)
    return Check(name, Status.WARNING, differs, "headrace plan, then headrace apply")


def shown_url(url: str) -> str:
    """A URL without the user and password that it may carry."""
    scheme, separator, rest = url.partition("://")
    authority, slash, path = rest.partition("/")
    host = authority.rpartition("@")[2]
    return f"{scheme}{separator}{host}{slash}{path}"


def _nearest(path: Path) -> Path:
    """The folder, or the nearest one above it that exists."""
    return next(place for place in (path, *path.parents) if place.exists())


def _day(time_ms: int) -> str:
    return datetime.fromtimestamp(time_ms / 1000, tz=UTC).date().isoformat()
