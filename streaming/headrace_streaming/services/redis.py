"""The embedded Redis, or Valkey: one node that writes down every change."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from pathlib import Path

from headrace_features.embedded import HOST
from headrace_schemas.errors import ConfigurationError

#: In the order of preference.
PROGRAMS = ("redis-server", "valkey-server")
#: The command of each package manager that brings one of them.
_INSTALLING = {
    "apt-get": "apt-get install redis-server",
    "dnf": "dnf install valkey",
    "apk": "apk add redis",
    "brew": "brew install redis",
}


def program(environ: Mapping[str, str]) -> str:
    """The path of the server that is installed.

    Raises:
        ConfigurationError: there is none on the PATH.
    """
    path = environ.get("PATH", os.defpath)
    for name in PROGRAMS:
        if found := shutil.which(name, path=path):
            return found
    known = (command for manager, command in _INSTALLING.items() if shutil.which(manager))
    raise ConfigurationError(
        f"neither {' nor '.join(PROGRAMS)} is on the PATH, and [online] asks for an embedded Redis",
        hint=f"{next(known, _INSTALLING['apt-get'])}; or name another with [online] redis_url",
    )


def prepare(folder: Path, ports: Mapping[str, int], environ: Mapping[str, str]) -> list[str]:
    """Write the server's configuration; returns the command that runs it in the foreground.

    Raises:
        ConfigurationError: no server is installed.
    """
    server = program(environ)
    folder.mkdir(parents=True, exist_ok=True)
    written = folder / "redis.conf"
    written.write_text("".join(f"{name} {value}\n" for name, value in _properties(folder, ports)))
    return [server, str(written)]


def _properties(folder: Path, ports: Mapping[str, int]) -> tuple[tuple[str, str | int], ...]:
    return (
        ("bind", HOST),
        ("port", ports["client"]),
        ("protected-mode", "yes"),
        ("daemonize", "no"),
        ("supervised", "no"),
        ("loglevel", "notice"),
        ("dir", _quoted(folder)),
        # A crash of the machine loses a second at most, one of the process nothing. Snapshots
        # would write the same once more, with twice the memory while they do.
        ("appendonly", "yes"),
        ("appendfsync", "everysec"),
        ("save", '""'),
        # An entity that was evicted would look like one that never had an event.
        ("maxmemory-policy", "noeviction"),
    )


def _quoted(path: Path) -> str:
    escaped = str(path).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
