"""The demonstration as a whole: a folder of its own, every step, and what to try next."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from headrace_orchestration.demonstration.steps import (
    Given,
    Size,
    Stage,
    Step,
    ask,
    compute,
    generate,
    take_in,
)
from headrace_orchestration.demonstration.story import ENTITIES, SERVICE, Story, tell_story
from headrace_orchestration.output import invoked
from headrace_orchestration.session import current_settings
from headrace_schemas.errors import ConfigurationError
from headrace_schemas.setting_table import SETTINGS

if TYPE_CHECKING:
    from headrace_batch.warehouse import Warehouse
    from headrace_features.project import Project
    from headrace_schemas.settings import Settings

#: Marks a folder as the demonstration's own, which it may empty.
_MARK = ".headrace-demo"
#: Of the user's environment only these settings hold: where data lies is the demonstration's own.
_KEPT_SECTIONS = ("engine", "spark")


@dataclass(frozen=True, slots=True)
class Demonstration:
    """What was done, what is worth a look, and what to try next."""

    home: Path
    steps: tuple[Step, ...]
    story: Story | None
    next_commands: tuple[str, ...]


def demonstrate(files: Sequence[Given], size: Size, stage: Stage) -> Demonstration:
    """Run every step in the demonstration's own folder and tell what came out.

    Args:
        files: transactions, and perhaps labels; none to generate them. Without labels only the
            views of transactions are computed, and there is no fraud to tell of.
        size: how much to generate.
        stage: shows one step going on.

    Raises:
        ConfigurationError: a file is missing, or the folder is not the demonstration's.
    """
    from headrace_batch.warehouse import Warehouse
    from headrace_features.engines import load_engine
    from headrace_features.project import load_project

    for file in files:
        if not file.path.exists():
            raise ConfigurationError(f"there is no file {str(file.path)!r}")
    settings = _own_settings()
    project = load_project(settings)
    engine = load_engine(settings.engine.default, settings)
    steps = []
    if not files:
        step, files = generate(settings.home, size, stage)
        steps.append(step)
    steps.extend(take_in(settings, project, files, stage))
    warehouse = Warehouse.of(settings)
    views = [view for view in project.views.values() if warehouse.exists(view.source.table)]
    steps.extend(compute(settings, project, views, engine, stage))
    story = None
    if len(views) == len(project.views):
        with stage("find a fraud"):
            story = tell_story(warehouse, project, engine)
    entities = story.entities if story else _some_entities(warehouse, project)
    steps.append(ask(settings, entities, stage))
    return Demonstration(
        settings.home, tuple(steps), story, _next_commands(settings, project, entities)
    )


def _some_entities(warehouse: Warehouse, project: Project) -> Mapping[str, object]:
    """The card and the terminal of some transaction."""
    table = project.source("transactions").table
    (row,) = warehouse.dataset(table).head(1, columns=list(ENTITIES)).to_pylist()
    return dict(row)


def _own_settings() -> Settings:
    """Settings of an empty folder of the demonstration's own, beside the user's data."""
    settings = current_settings()
    if settings.root is not None:
        message = f"the demonstration shows the built-in project, and {settings.root} is another"
        raise ConfigurationError(message, hint="run it in a folder without headrace.toml above it")
    home = settings.home / "demo"
    if home.exists() and any(home.iterdir()):
        if not (home / _MARK).exists():
            message = f"{home} exists and was not made by the demonstration"
            raise ConfigurationError(message, hint="move it, or set HEADRACE_HOME elsewhere")
        # Aside first: a mark that is deleted before the rest would lock the next run out.
        leaving = home.with_name(f"{home.name}.leaving")
        shutil.rmtree(leaving, ignore_errors=True)
        home.rename(leaving)
        shutil.rmtree(leaving)
    home.mkdir(parents=True, exist_ok=True)
    (home / _MARK).touch()
    # Feast's plugin finds the settings by itself, from the environment like any other process.
    for setting in SETTINGS:
        if setting.section not in _KEPT_SECTIONS:
            os.environ.pop(setting.variable, None)
    os.environ["HEADRACE_HOME"] = str(home)
    return current_settings()


def _next_commands(
    settings: Settings, project: Project, entities: Mapping[str, object]
) -> tuple[str, ...]:
    from headrace_batch.days import days_with_events

    last = days_with_events(settings, project.source("transactions"))[1]
    asked = " ".join(
        [f"--service {SERVICE}", *(f"--entity {key}={value}" for key, value in entities.items())]
    )
    headrace, feast = (_from_here(Path(invoked(name))) for name in ("headrace", "feast"))
    home = f"HEADRACE_HOME={_from_here(settings.home)}"
    repository = Path("features/feature_repo")
    plain = (f"{home} {feast} -c {repository} feature-views list",) if repository.is_dir() else ()
    return (
        f"{home} {headrace} features get {asked} --as-of {last}T12:00:00",
        f"{home} {headrace} plan",
        *plain,
        f"{headrace} init my_project     # features of your own events",
        f"{headrace} --help",
    )


def _from_here(path: Path) -> Path:
    """A path as it can be typed in the current directory."""
    if path.name == str(path):
        return path
    absolute = path.absolute()
    return absolute.relative_to(Path.cwd()) if absolute.is_relative_to(Path.cwd()) else absolute
