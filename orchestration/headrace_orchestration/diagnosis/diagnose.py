"""All checks of a machine and of the project in a folder."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from operator import attrgetter
from pathlib import Path
from typing import TYPE_CHECKING

from headrace_batch.jars import SPARK
from headrace_orchestration.diagnosis.checks import Check, Status, failed
from headrace_orchestration.diagnosis.machine import machine_checks
from headrace_orchestration.diagnosis.project import project_checks, shown_url
from headrace_schemas.errors import ConfigurationError
from headrace_schemas.project_file import find_file
from headrace_schemas.setting_kinds import SettingKind
from headrace_schemas.setting_table import FILE_NAME, SETTINGS
from headrace_schemas.settings import load
from headrace_streaming.jars import BROKER, CONNECTOR

if TYPE_CHECKING:
    from headrace_schemas.settings import Settings

_DEFAULT = "default"
#: Variables that are no settings of a project.
_FURTHER_VARIABLES = {
    "HEADRACE_DEBUG",
    *(archives.variable for archives in (BROKER, CONNECTOR, SPARK)),
}


@dataclass(frozen=True, slots=True)
class SettingInUse:
    """A setting that somebody chose: its value without secrets, and where it was found."""

    name: str
    value: str
    source: str


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """What was looked at, and every setting that is not a default."""

    checks: tuple[Check, ...]
    settings: tuple[SettingInUse, ...]

    @property
    def problems(self) -> int:
        """How many checks found something that has to be put right."""
        return sum(check.status is Status.PROBLEM for check in self.checks)


def diagnose(start: Path, environ: Mapping[str, str]) -> Diagnosis:
    """Look at the machine, and at the project that the folder `start` belongs to.

    Nothing is fetched or changed, and no engine is loaded.
    """
    try:
        settings = load(start, environ)
    except ConfigurationError as error:
        checks = [*machine_checks(spark_wanted=False), failed("settings", error)]
        return Diagnosis(tuple(checks), ())
    checks = [
        *machine_checks(spark_wanted=settings.engine.default == "spark"),
        _settings(start, settings),
        *_unknown_variables(environ),
        *project_checks(settings, environ),
    ]
    return Diagnosis(tuple(checks), tuple(_in_use(settings)))


def _settings(start: Path, settings: Settings) -> Check:
    file = find_file(start)
    if file is None:
        found = f"no {FILE_NAME} here or above: the built-in project {settings.project.name}"
        return Check("settings", Status.OK, found)
    return Check("settings", Status.OK, f"project {settings.project.name} in {file}")


def _unknown_variables(environ: Mapping[str, str]) -> Iterator[Check]:
    """Warnings of variables that look like ours and that nothing reads."""
    known = {setting.variable for setting in SETTINGS} | _FURTHER_VARIABLES
    for name in sorted(environ):
        if name.startswith("HEADRACE_") and name not in known:
            nearest = difflib.get_close_matches(name, known, n=1, cutoff=0.8)
            advice = f"did you mean {nearest[0]}?" if nearest else "unset it"
            yield Check("environment", Status.WARNING, f"nothing reads {name}", advice)


def _in_use(settings: Settings) -> list[SettingInUse]:
    chosen = []
    for setting in SETTINGS:
        source = settings.source_of(setting.name)
        if source == _DEFAULT:
            continue
        value = attrgetter(setting.name)(settings)
        match setting.kind:
            case SettingKind.OPTIONS:
                shown = ", ".join(f"{name}=***" for name in value)
            case SettingKind.NAMES:
                shown = ", ".join(value)
            case SettingKind.LOCATION:
                shown = shown_url(value) if "://" in value else value
            case _:
                shown = str(value)
        chosen.append(SettingInUse(setting.name, shown, source))
    return chosen
