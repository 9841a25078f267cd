"""What has changed between the registered definitions and a project's."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Any

from headrace_features.definitions.fingerprint import meaning
from headrace_features.definitions.services import TERMS, FeatureService
from headrace_features.project import Project
from headrace_schemas.errors import ConfigurationError

#: Tag of everything that is generated from definitions; what lacks it is somebody else's.
MANAGED_TAG = "headrace.managed"
#: Tags that our views carry in the registry.
FINGERPRINT_TAG = "headrace.fingerprint"
#: What to do where code means something else than what was registered, and code is needed.
UNREGISTERED = (
    "run: headrace plan, then headrace apply; a process that began before that is to begin anew"
    " (headrace serve: SIGHUP)"
)
VERSION_TAG = "headrace.version"
MEANING_TAG = "headrace.meaning"
#: Tag of views that are kept: the whole definition, from which they are read and computed.
DEFINITION_TAG = "headrace.definition"
#: Tag of our services: what they ask for, and on what terms.
ASKED_TAG = "headrace.asked"


class ChangeKind(StrEnum):
    """What happens to a view or a service."""

    ADDED = "added"
    CHANGED = "changed"
    REMOVED = "removed"
    UNCHANGED = "unchanged"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class ViewChange:
    """How one view differs from the registered one.

    Attributes:
        differences: a line for each difference, "+", "-" or "~" and where.
    """

    view: str
    kind: ChangeKind
    registered_version: int | None
    version: int | None
    differences: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ServiceChange:
    """How one feature service differs from the registered one; lines as for views."""

    service: str
    kind: ChangeKind
    differences: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Registered:
    """A view as the registry has it."""

    version: int
    meaning: Mapping[str, Any]


def changes(
    registered: Mapping[str, Registered],
    project: Project,
    served: Mapping[str, int] = MappingProxyType({}),
) -> tuple[ViewChange, ...]:
    """One change for each view of the registry or the project, on-demand ones too, by name.

    Args:
        registered: the views that there are.
        project: those that are declared.
        served: by view the version that readers get, where that may be an earlier one again.
    """
    names = sorted({*registered, *project.views, *project.on_demand})
    return tuple(_change(name, registered.get(name), project, served.get(name)) for name in names)


def service_changes(
    registered: Mapping[str, Mapping[str, Any]], project: Project
) -> tuple[ServiceChange, ...]:
    """One change for each service of the registry or the project, by name."""
    found = []
    for name in sorted({*registered, *project.services}):
        old, service = registered.get(name), project.services.get(name)
        new = {} if service is None else asked_by(service)
        differences = tuple(_differences(old or {}, new)) if service is not None else ()
        if service is None:
            kind = ChangeKind.REMOVED
        elif old is None:
            kind, differences = ChangeKind.ADDED, ()
        else:
            kind = ChangeKind.CHANGED if differences else ChangeKind.UNCHANGED
        found.append(ServiceChange(name, kind, differences))
    return tuple(found)


def asked_by(service: FeatureService) -> dict[str, Any]:
    """What a service asks for and on what terms, as JSON-compatible data."""
    return {
        "features": {
            selection.view.name: dict.fromkeys(selection.names, True) for selection in service.asked
        },
        "terms": {name: getattr(service.terms, name) for name in TERMS},
    }


def refuse_silent_changes(found: Iterable[ViewChange]) -> None:
    """Raise an error if a view means something else without a new version.

    Raises:
        ConfigurationError: names the view and its first differences.
    """
    for change in found:
        if change.kind is ChangeKind.REFUSED:
            shown = "; ".join(change.differences[:3]) or "a lower version than registered"
            message = (
                f"feature view {change.view} has changed without a new version "
                f"(registered: {change.registered_version}, declared: {change.version}): {shown}"
            )
            raise ConfigurationError(
                message, hint=f"declare version={(change.registered_version or 0) + 1}"
            )


def _change(name: str, old: Registered | None, project: Project, served: int | None) -> ViewChange:
    view = project.views.get(name) or project.on_demand.get(name)
    if view is None:
        return ViewChange(name, ChangeKind.REMOVED, old.version if old else None, None)
    # Through JSON, as the registered meaning has been: tuples are lists there.
    new: Mapping[str, Any] = json.loads(json.dumps(meaning(view)))
    if old is None:
        added = tuple(f"+ {feature}" for feature in view.feature_names)
        return ViewChange(name, ChangeKind.ADDED, None, view.version, added)
    differences = tuple(_differences(old.meaning, new))
    taken_back = view.version < old.version and view.version == served
    if view.version > old.version or taken_back:
        kind = ChangeKind.CHANGED
    elif view.version < old.version or differences:
        kind = ChangeKind.REFUSED
    else:
        kind = ChangeKind.UNCHANGED
    return ViewChange(name, kind, old.version, view.version, differences)


def _differences(old: Any, new: Any, path: str = "") -> Iterable[str]:
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        for key in sorted({*old, *new}):
            inner = f"{path}.{key}" if path else str(key)
            if key not in old:
                yield f"+ {inner}"
            elif key not in new:
                yield f"- {inner}"
            else:
                yield from _differences(old[key], new[key], inner)
    elif old != new:
        yield f"~ {path}: {old} → {new}"
