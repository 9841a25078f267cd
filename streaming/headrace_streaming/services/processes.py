"""Processes that outlive the command: started detached, found again by number and start time."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path

import msgspec

_STOP_GRACE_S = 20.0
_POLL_S = 0.05
#: Waits for a line before it becomes the command; without one, it ends.
_GATE = 'read -r _ && exec "$@" </dev/null'


class Started(msgspec.Struct, frozen=True):
    """A process: its number, and when it was started, since numbers are used again."""

    pid: int
    started: str


def start(
    command: list[str],
    *,
    log: Path,
    environment: Mapping[str, str],
    note: Callable[[Started], None],
) -> None:
    """Start a process in a session of its own; what it says is appended to a log.

    It begins its work only after `note` has written it down. If we are killed before that, it
    ends too: there is never one that nobody knows of.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    appended = os.O_WRONLY | os.O_CREAT | os.O_APPEND
    waits, goes = os.pipe()
    try:
        # Not subprocess, whose objects want to be waited for: this one is to outlive us.
        pid = os.posix_spawn(
            "/bin/sh",
            ["sh", "-c", _GATE, "sh", *command],
            dict(environment),
            file_actions=[
                (os.POSIX_SPAWN_DUP2, waits, 0),
                (os.POSIX_SPAWN_OPEN, 1, str(log), appended, 0o644),
                (os.POSIX_SPAWN_DUP2, 1, 2),
            ],
            setsid=True,
        )
        note(Started(pid, _start_time(pid) or ""))
        # One that is gone already is found so by whoever waits for it.
        with suppress(BrokenPipeError):
            os.write(goes, b"go\n")
    finally:
        os.close(waits)
        os.close(goes)


def is_alive(process: Started) -> bool:
    """Whether it is still the same process, and no corpse."""
    _reap(process.pid)
    return bool(process.started) and _start_time(process.pid) == process.started


def stop(process: Started, *, patience_s: float = _STOP_GRACE_S) -> None:
    """End a process, by force if it doesn't go; one that is gone already is left alone."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        if not is_alive(process):
            return
        try:
            os.kill(process.pid, number)
        except ProcessLookupError:
            return
        deadline = time.monotonic() + patience_s
        while is_alive(process) and time.monotonic() < deadline:
            time.sleep(_POLL_S)


def _reap(pid: int) -> None:
    """Take leave of a child that has ended, so that it doesn't count as there."""
    try:
        os.waitpid(pid, os.WNOHANG)
    except ChildProcessError:
        return


def _start_time(pid: int) -> str | None:
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
