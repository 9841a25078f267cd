"""The Java that engines and the broker run on: 17 or 21, wherever it was installed."""

from __future__ import annotations

import os
import re
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from headrace_schemas.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Iterator

SUPPORTED_VERSIONS = (17, 21)


def java_home() -> Path:
    """The folder for `JAVA_HOME`: the first Java 17 or 21 among three places.

    Those are the variable itself, the link that the set-up made in this environment, and the
    `java` on the PATH.

    Raises:
        ConfigurationError: none of them is a Java 17 or 21.
    """
    found = list(_candidates())
    for home, _ in found:
        if java_version(home) in SUPPORTED_VERSIONS:
            return home
    seen = ", ".join(f"{place}: {java_version(home) or 'not a Java'}" for home, place in found)
    raise ConfigurationError(
        f"needed is Java 17 or 21; found {seen or 'none'}",
        hint="install one and set JAVA_HOME to its folder",
    )


def java_version(home: Path) -> int | None:
    """The major version of the Java in a folder, None where there is none; starts no process."""
    try:
        release = (home / "release").read_text()
    except OSError:
        return None
    match = re.search(r'^JAVA_VERSION="(?:1\.)?(\d+)', release, re.MULTILINE)
    return int(match[1]) if match and (home / "bin" / "java").is_file() else None


def _candidates() -> Iterator[tuple[Path, str]]:
    variable = os.environ.get("JAVA_HOME")
    if variable:
        yield Path(variable), f"JAVA_HOME={variable}"
    link = Path(sys.prefix) / "jdk"
    if link.exists():
        yield link.resolve(), str(link)
    command = shutil.which("java")
    if command:
        yield Path(command).resolve().parents[1], command
