"""Makes a new project: a folder with definitions, events, a test, and a README to go on from."""

from __future__ import annotations

import json
import re
import tempfile
from dataclasses import dataclass
from pathlib import Path

from headrace_orchestration.sample_activity import EXAMPLE_USER, sample_activity
from headrace_schemas.errors import ConfigurationError
from headrace_schemas.setting_table import SETTINGS

_TEMPLATE = Path(__file__).with_name("template")
#: Keeps tools that look for tests, Python files or settings from taking the template for such.
_ENDING = ".template"
_EVENTS = "events.jsonl"
_NAME = next(setting for setting in SETTINGS if setting.name == "project.name")


@dataclass(frozen=True, slots=True)
class NewProject:
    """What was made.

    Attributes:
        folder: the project's folder, absolute.
        files: what is in it, relative to it.
        events: how many sample events it has.
    """

    folder: Path
    files: tuple[str, ...]
    events: int


def create_project(name: str, parent: Path, now_ms: int) -> NewProject:
    """Make the folder `name` below `parent`; it appears whole or not at all.

    Args:
        name: of the project, and of the folder.
        parent: a folder that exists.
        now_ms: the sample events end here, ms UTC.

    Raises:
        ConfigurationError: the name is none that a project may have, there is a file or a folder
            that is not empty at its place, or the folder can't be written.
    """
    if not re.fullmatch(str(_NAME.pattern), name):
        message = f"{name!r} can't name a project: expected {_NAME.meaning.partition(': ')[2]}"
        raise ConfigurationError(
            message, hint="begin with a letter, as in shop_1; the folder is made right here"
        )
    folder = (parent / name).resolve()
    try:
        _require_free(folder)
        events = sample_activity(now_ms)
        contents = _contents({"name": name, "user_id": EXAMPLE_USER})
        contents[_EVENTS] = "".join(f"{json.dumps(event)}\n" for event in events)
        _write(folder, contents)
    except OSError as error:
        message = f"the project can't be made in {folder}: {error.strerror or error}"
        raise ConfigurationError(message, hint="choose another place or name") from error
    return NewProject(folder, tuple(sorted(contents)), len(events))


def _require_free(folder: Path) -> None:
    if folder.is_dir() and not any(folder.iterdir()):
        return
    if folder.exists():
        kind = "a folder that is not empty" if folder.is_dir() else "a file"
        message = f"{folder} is there already: {kind}"
        raise ConfigurationError(message, hint="choose another name, or remove it first")


def _contents(values: dict[str, str]) -> dict[str, str]:
    """The template's files, by path, with the placeholders filled in."""
    return {
        _filled(path.relative_to(_TEMPLATE).as_posix().removesuffix(_ENDING), values): _filled(
            path.read_text(encoding="utf-8"), values
        )
        for path in _TEMPLATE.rglob(f"*{_ENDING}")
    }


def _filled(text: str, values: dict[str, str]) -> str:
    for placeholder, value in values.items():
        text = text.replace(f"{{{{{placeholder}}}}}", value)
    return text


def _write(folder: Path, contents: dict[str, str]) -> None:
    with tempfile.TemporaryDirectory(prefix=f".{folder.name}-", dir=folder.parent) as scratch:
        complete = Path(scratch) / folder.name
        for name, text in contents.items():
            path = complete / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        complete.rename(folder)
