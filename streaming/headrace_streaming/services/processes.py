"""Processes that outlive the command: started detached, and stopped again."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path

from headrace_features.processes import Started, is_alive, start_time

_STOP_GRACE_S = 20.0
_POLL_S = 0.05
#: Waits for a line before it becomes the command; without one, it ends.
_GATE = 'read -r _ && exec "$@" </dev/null'


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
        note(Started(pid, start_time(pid) or ""))
        # One that is gone already is found so by whoever waits for it.
        with suppress(BrokenPipeError):
            os.write(goes, b"go\n")
    finally:
        os.close(waits)
        os.close(goes)


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
