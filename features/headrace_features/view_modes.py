"""Whether batch corrects what a stream keeps of a view, or the stream alone is the truth."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import TYPE_CHECKING

from headrace_schemas.errors import ConfigurationError

if TYPE_CHECKING:
    from headrace_features.project import Project
    from headrace_schemas.settings import Settings


class ViewMode(StrEnum):
    """Where the past of a view comes from."""

    LAMBDA = "lambda"
    KAPPA = "kappa"


def view_modes(settings: Settings, project: Project) -> Mapping[str, ViewMode]:
    """The mode of each view, as `[project.modes]` says; without a word it is `lambda`.

    Raises:
        ConfigurationError: a name is no view's, or there is no such mode.
    """
    found = dict.fromkeys(project.views, ViewMode.LAMBDA)
    for name, mode in settings.project.modes.items():
        place = f"[project.modes] {name}"
        if name not in project.views and not project.is_declared:
            # Code declares it beside what is served.
            continue
        if name not in project.views:
            raise ConfigurationError.unknown(f"feature view in {place}", name, project.views)
        if mode not in list(ViewMode):
            raise ConfigurationError.unknown(f"mode in {place}", mode, list(ViewMode))
        found[name] = ViewMode(mode)
    return found


def require_batch(settings: Settings, project: Project, names: list[str]) -> list[str]:
    """The views that have a batch layer: of some, where any are named, else of all.

    Raises:
        ConfigurationError: one that is named has none.
    """
    modes = view_modes(settings, project)
    for name in names:
        if modes[project.view(name).name] is ViewMode.KAPPA:
            raise ConfigurationError(
                f"{name} has the mode kappa: of it there is the stream alone",
                hint="a replay makes it anew: headrace replay; see [project.modes]",
            )
    return names or [name for name, mode in modes.items() if mode is ViewMode.LAMBDA]
