"""Processes that are found again by number and start time."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import msgspec


class Started(msgspec.Struct, frozen=True):
    """A process: its number, and when it was started, since numbers are used again."""

    pid: int
    started: str


def is_alive(process: Started) -> bool:
    """Whether it is still the same process, and no corpse."""
    _reap(process.pid)
    return bool(process.started) and start_time(process.pid) == process.started


def start_time(pid: int) -> str | None:
    """When the process of a number was started, in the system's own terms; None for a corpse."""
    stat = Path(f"/proc/{pid}/stat")
    if Path("/proc/self/stat").exists():
        try:
            # The name stands in brackets and may hold spaces; the time is the 20th field after it.
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            return None
        return None if fields[0] == "Z" else fields[19]
    found = subprocess.run(  # noqa: S603 - a number
        ["/bin/ps", "-o", "lstart=", "-p", str(pid)], capture_output=True, text=True, check=False
    )
    return found.stdout.strip() or None


def _reap(pid: int) -> None:
    """Take leave of a child that has ended, so that it doesn't count as there."""
    try:
        os.waitpid(pid, os.WNOHANG)
    except ChildProcessError:
        return
