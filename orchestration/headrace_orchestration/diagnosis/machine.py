"""What the machine has: Python, packages, Java and jars. Nothing is fetched or started."""

from __future__ import annotations

import os
import platform
import sys
from importlib import metadata
from pathlib import Path

from headrace_batch.jars import SPARK
from headrace_features.archives import Archives
from headrace_features.java import java_home, java_version
from headrace_orchestration.diagnosis.checks import Check, Status, failed
from headrace_orchestration.diagnosis.packages import (
    DISTRIBUTION,
    extra_check,
    installed_versions,
    packages_check,
    requirements,
)
from headrace_schemas.errors import ConfigurationError
from headrace_streaming.jars import BROKER, CONNECTOR, OPERATOR

_PYTHONS = ((3, 11), (3, 12))
_NEEDED_FOR = {
    "batch": "the engine spark",
    "serving": "plan, apply, materialize and features get",
    "streaming": "up, stream and simulate --rate",
}


def machine_checks(*, spark_wanted: bool) -> list[Check]:
    """One check for each thing that Headrace stands on.

    Args:
        spark_wanted: whether the settings name Spark as the engine; what it needs is a problem
            then where it is missing, and a warning otherwise.
    """
    lacking = Status.PROBLEM if spark_wanted else Status.WARNING
    return [
        _python(),
        *_packages(lacking),
        _java(lacking),
        _jars("Spark's jars", SPARK, lacking, "headrace_batch.jars"),
        _jars("Kafka's jars", BROKER, Status.WARNING, "headrace_streaming.jars"),
        _jars("Flink's jars", CONNECTOR, Status.WARNING, "headrace_streaming.jars"),
        _operator(),
    ]


def _python() -> Check:
    found = f"{platform.python_version()} in {sys.prefix}"
    if sys.version_info[:2] in _PYTHONS:
        return Check("Python", Status.OK, found)
    wanted = " or ".join(f"{major}.{minor}" for major, minor in _PYTHONS)
    return Check("Python", Status.PROBLEM, found, f"use Python {wanted}")


def _packages(spark_lacking: Status) -> list[Check]:
    place = Path(__file__).parents[2]
    try:
        version = metadata.version(DISTRIBUTION)
    except metadata.PackageNotFoundError:
        found = f"not installed, runs from {place}"
        return [Check("Headrace", Status.PROBLEM, found, "install it: pip install headrace")]
    wanted = [r for r in requirements(metadata.requires(DISTRIBUTION) or []) if r.extra is None]
    return [
        Check("Headrace", Status.OK, f"{version} in {place}"),
        packages_check(
            "packages",
            wanted,
            installed_versions(wanted),
            Status.PROBLEM,
            f"pip install {DISTRIBUTION}",
        ),
        *(
            extra_check(extra, spark_lacking if extra == "batch" else Status.WARNING, purpose)
            for extra, purpose in _NEEDED_FOR.items()
        ),
    ]


def _java(lacking: Status) -> Check:
    try:
        home = java_home()
    except ConfigurationError as error:
        return failed("Java", error, lacking)
    return Check("Java", Status.OK, f"{java_version(home)} in {home}")


def _jars(name: str, archives: Archives, lacking: Status, fetching: str) -> Check:
    if named := os.environ.get(archives.variable):
        try:
            found = archives.paths()
        except ConfigurationError as error:
            return failed(name, error, lacking)
        return Check(name, Status.OK, f"{len(found)}, named by {archives.variable}={named}")
    wanted = archives.expected()
    if all(path.is_file() for path in wanted):
        return Check(name, Status.OK, f"{len(wanted)} in {wanted[0].parent}")
    advice = f"they are fetched when first used; now: python -m {fetching}"
    return Check(name, lacking, f"not in {wanted[0].parent}", advice)


def _operator() -> Check:
    if OPERATOR.is_file():
        return Check("feature operator", Status.OK, str(OPERATOR))
    return Check("feature operator", Status.WARNING, f"not in {OPERATOR.parent}", "make setup")
