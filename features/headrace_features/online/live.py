"""The definitions that a project's state is kept of, where they aren't those that are declared."""

from __future__ import annotations

from typing import TYPE_CHECKING

from headrace_features.definitions.fingerprint import fingerprint
from headrace_features.online.stores import open_store
from headrace_features.online.versions import Versions, change_versions, read_versions
from headrace_features.portable_project import portable_in, portable_project, project_from

if TYPE_CHECKING:
    from headrace_features.definitions.views import FeatureView
    from headrace_features.project import Project
    from headrace_schemas.settings import Settings


def live_project(settings: Settings, project: Project) -> Project:
    """The definitions that are served, in their namespace.

    They are the declared ones, unless another version of a view is served: then they are as they
    were when that was deployed.

    Raises:
        RetryableError: the online store doesn't answer.
    """
    _, versions = read_versions(open_store(settings))
    return project_in(versions, versions.serving, project)


def project_in(versions: Versions, namespace: str, declared: Project) -> Project:
    """The definitions of a namespace, by those that are declared where they go together."""
    recorded = versions.namespaces.get(namespace)
    if recorded is None:
        return declared
    held = project_from(recorded)
    if any(not _goes_with(declared, name, view) for name, view in held.views.items()):
        return held
    if not namespace:
        return declared
    return project_from(portable_in(declared, namespace))


def served_versions(live: Project) -> dict[str, int]:
    """By view the version that readers get."""
    return {name: view.version for name, view in live.views.items()}


def keep_definitions(settings: Settings, project: Project) -> None:
    """Note the definitions that a stream was deployed with, where several are kept side by side."""
    store = open_store(settings)
    number, _ = read_versions(store)
    if number:
        definitions = portable_project(project)
        change_versions(store, lambda held: held.keeps(project.namespace, definitions))


def _goes_with(declared: Project, name: str, view: FeatureView) -> bool:
    """Whether a view is declared as it is kept."""
    other = declared.views.get(name)
    if other is None or other.version != view.version:
        return False
    return fingerprint(other) == fingerprint(view)
