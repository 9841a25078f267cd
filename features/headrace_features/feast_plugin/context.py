"""Which project a Feast repository belongs to."""

from __future__ import annotations

import os
from pathlib import Path

from headrace_features.project import Project, load_project
from headrace_schemas.project_file import find_file
from headrace_schemas.settings import Settings, load

#: Where the process was when Feast read its configuration.
_STARTED_IN = Path.cwd()
#: Settings with which a store was made in this process, by the folder that Feast knows it by.
_GIVEN: dict[Path, Settings] = {}


def remember(repo_path: Path, settings: Settings) -> None:
    """Let the plugin use these settings for a store that is made in code, not by a yaml file."""
    _GIVEN[repo_path] = settings


def settings_for(repo_path: Path | None) -> Settings:
    """The settings given for a Feast repository, those above it, or above the current directory."""
    if repo_path is not None and Path(repo_path) in _GIVEN:
        return _GIVEN[Path(repo_path)]
    # Feast's own command goes into the repository's folder; paths are still those of its caller.
    inside = repo_path is not None and Path.cwd() == Path(repo_path).resolve()
    start = _STARTED_IN if inside else Path.cwd()
    if repo_path is not None and find_file(Path(repo_path).resolve()) is not None:
        start = Path(repo_path)
    return load(start, os.environ)


def project_for(repo_path: Path | None) -> Project:
    """The definitions of a Feast repository."""
    return load_project(settings_for(repo_path))
