"""`headrace` for tasks of Airflow: killed amid its work at first, then outliving its task.

A program that takes a folder for marks, then the command. The first time that a command of
`MOMENTS`, or of `ONCE`, comes to its moment it is killed. The second time the task of one of
`MOMENTS` is, and the command goes on once the third one has begun. All others are left alone.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

#: Right before which call of what a command does: one that each try comes to.
MOMENTS = {
    # Rows were read and judged, and none has come into the table.
    "ingest": "headrace_batch.ingest.appending:write_deltalake",
    # A day was judged, which is written down nowhere yet.
    "validate": "headrace_batch.quality.verdicts:_keep",
    # Days of the history were replaced, and it isn't noted of what they are made.
    "backfill": "headrace_batch.history_increment:_note",
    # All fields of a layer are there, which no reader has yet.
    "materialize": "headrace_features.online.sqlite_store:SqliteStateStore.publish",
}
ONCE = {
    # The job of the version is submitted, and nothing waits for it.
    "replay": "headrace_orchestration.versions.replaying:follow",
}
#: What is marked once the command was killed, once its task was, and once it is tried a third time.
KILLED, ALONE, AGAIN = "killed", "alone", "again"
_PATIENCE_S = 120.0


def main() -> None:
    """Run the command."""
    marks, command = Path(sys.argv.pop(1)), sys.argv[1]
    killed, alone, again = (marks / f"{command}-{name}" for name in (KILLED, ALONE, AGAIN))
    place = {**MOMENTS, **ONCE}.get(command)
    if place and not killed.exists():
        _before(place, lambda: _kill(killed))
    elif place and command in MOMENTS and not alone.exists():
        _before(place, lambda: _outlive(alone, again))
    elif command in MOMENTS:
        again.touch()
    import_module("headrace_orchestration.cli").main()


def _before(place: str, do: Callable[[], None]) -> None:
    module, _, name = place.partition(":")
    *owners, last = name.split(".")
    owner: Any = import_module(module)
    for one in owners:
        owner = getattr(owner, one)
    real = getattr(owner, last)

    def wrapped(*arguments: Any, **options: Any) -> Any:
        do()
        return real(*arguments, **options)

    setattr(owner, last, wrapped)


def _kill(mark: Path) -> None:
    mark.touch()
    os.kill(os.getpid(), signal.SIGKILL)


def _outlive(mark: Path, again: Path) -> None:
    if mark.exists():
        return
    mark.touch()
    os.kill(os.getppid(), signal.SIGKILL)
    late = time.monotonic() + _PATIENCE_S
    while not again.exists() and time.monotonic() < late:
        time.sleep(0.05)


if __name__ == "__main__":
    main()
