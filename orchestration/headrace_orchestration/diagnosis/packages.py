"""Which packages Headrace asks for and which are installed; none of them is imported."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from importlib import metadata

from headrace_orchestration.diagnosis.checks import Check, Status

DISTRIBUTION = "headrace"

_FORM = re.compile(
    r"(?P<name>[\w.-]+)\s*(?:\[[^\]]*\])?\s*(?P<range>[^;]*?)\s*"
    r"(?:;.*\bextra\s*==\s*['\"](?P<extra>[\w-]+)['\"].*)?"
)
_BOUND = re.compile(r"(==|>=|<=|<|>)\s*([\d.]+)")
_COMPARE: Mapping[str, Callable[[tuple[int, ...], tuple[int, ...]], bool]] = {
    "==": operator.eq,
    ">=": operator.ge,
    "<=": operator.le,
    "<": operator.lt,
    ">": operator.gt,
}


@dataclass(frozen=True, slots=True)
class Requirement:
    """A package with the range of its versions; `extra` names what it is needed for, if not all."""

    name: str
    range: str
    extra: str | None

    def allows(self, version: str) -> bool:
        """Whether a version is inside the range; what follows its numbers is not looked at."""
        return all(
            _COMPARE[sign](_numbers(version), _numbers(bound))
            for sign, bound in _BOUND.findall(self.range)
        )


def requirements(lines: Iterable[str]) -> tuple[Requirement, ...]:
    """The requirements in a distribution's metadata.

    >>> requirements(["pyspark[sql]<4.2,>=4.1.1; extra == 'batch'"])
    (Requirement(name='pyspark', range='<4.2,>=4.1.1', extra='batch'),)
    """
    found = (_FORM.fullmatch(line.strip()) for line in lines)
    return tuple(Requirement(m["name"], m["range"], m["extra"]) for m in found if m)


def installed_versions(wanted: Iterable[Requirement]) -> dict[str, str]:
    """The versions of those that are installed, by name."""
    versions = {}
    for requirement in wanted:
        try:
            versions[requirement.name] = metadata.version(requirement.name)
        except metadata.PackageNotFoundError:
            continue
    return versions


def packages_check(
    name: str,
    wanted: Iterable[Requirement],
    versions: Mapping[str, str],
    lacking: Status,
    advice: str,
) -> Check:
    """Whether all of some packages are there, each in its range.

    Args:
        name: of the check.
        wanted: the packages.
        versions: what is installed, by name.
        lacking: how bad it is if one is missing or out of range.
        advice: what to do then.
    """
    wanted = tuple(wanted)
    missing = [w.name for w in wanted if w.name not in versions]
    wrong = [
        f"{w.name} {versions[w.name]} is not {w.range}"
        for w in wanted
        if w.name in versions and not w.allows(versions[w.name])
    ]
    if missing:
        wrong.insert(0, f"not installed: {', '.join(missing)}")
    if wrong:
        return Check(name, lacking, "; ".join(wrong), advice)
    return Check(name, Status.OK, ", ".join(f"{w.name} {versions[w.name]}" for w in wanted))


def extra_check(extra: str, lacking: Status, purpose: str) -> Check:
    """Whether the packages of an extra are there; Headrace itself has to be installed."""
    wanted = [r for r in requirements(metadata.requires(DISTRIBUTION) or []) if r.extra == extra]
    return packages_check(
        f"extra {extra}",
        wanted,
        installed_versions(wanted),
        lacking,
        f"pip install '{DISTRIBUTION}[{extra}]', for {purpose}",
    )


def _numbers(version: str) -> tuple[int, ...]:
    """The leading numbers of a version, without zeros at the end: 4.2 is 4.2.0."""
    match = re.match(r"\d+(?:\.\d+)*", version)
    numbers = [int(part) for part in match[0].split(".")] if match else []
    while numbers and numbers[-1] == 0:
        numbers.pop()
    return tuple(numbers)
