"""What nearly every command begins with: settings and project of the current directory."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from headrace_orchestration.output import say

if TYPE_CHECKING:
    from headrace_features.project import Project
    from headrace_schemas.settings import Settings


def current_settings() -> Settings:
    """The settings that hold in the current directory."""
    from headrace_schemas.settings import load

    return load(Path.cwd(), os.environ)


def current_home() -> Path:
    """The folder for all data: what runs there can be stopped whatever else is set."""
    from headrace_schemas.settings import home_in

    return home_in(Path.cwd(), os.environ)


def current_project() -> tuple[Settings, Project]:
    """The settings and definitions of the current directory."""
    from headrace_features.project import load_project

    settings = current_settings()
    return settings, load_project(settings)


def note_built_in(settings: Settings) -> None:
    """Say that the built-in project is used, where nothing else would show it."""
    from headrace_schemas.setting_table import FILE_NAME

    if settings.root is None:
        say(f"project {settings.project.name} (built in): there is no {FILE_NAME} here or above")


def served_project() -> tuple[Settings, Project]:
    """The settings, and the definitions that are served, which may be others than the declared."""
    from headrace_features.online.live import live_project

    settings, project = current_project()
    return settings, live_project(settings, project)
