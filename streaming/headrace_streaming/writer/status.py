"""What a writer tells of itself while it runs, and leaves in a file for others to find.

`python -m headrace_streaming.writer.status` asks whether that of this home is well: it exits with
0, or with 1 and the reason.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import msgspec

from headrace_schemas.settings import home_in
from headrace_streaming.whole_file import write_whole

#: After so long without a word a writer hangs. It is as long in one transaction of a database.
_SILENCE_MS = 10_000


class WriterStatus(msgspec.Struct, frozen=True, kw_only=True):
    """One writer.

    Attributes:
        pid: of its process.
        at_ms: when it was last seen at work, ms UTC.
        problem: what keeps it from writing.
        views: the keys of those that it writes.
        store: what it writes into.
        partitions: those that it writes.
        updates: how many it has written since it began.
        refused: of those, for how many the store had newer content.
        undeclared: how many it has passed over, as the project has no such view.
        unreadable: how many it couldn't read.
        lag: how many records are left to write; None while that isn't known.
        rate: how many updates it has written in the last second.
    """

    pid: int
    at_ms: int
    problem: str | None = None
    views: tuple[str, ...] = ()
    store: str = ""
    partitions: tuple[int, ...] = ()
    updates: int = 0
    refused: int = 0
    undeclared: int = 0
    unreadable: int = 0
    lag: int | None = None
    rate: float = 0.0

    @property
    def is_fresh(self) -> bool:
        """Whether the writer was at work just now."""
        return time.time_ns() // 1_000_000 - self.at_ms < _SILENCE_MS


def status_file(home: Path, namespace: str = "") -> Path:
    """Where an embedded writer of a home tells of itself; "" is the one that starts the others."""
    ending = f"-{namespace}" if namespace else ""
    return home / "writer" / f"status{ending}.json"


def write_status(home: Path, namespace: str, status: WriterStatus) -> None:
    """Leave word."""
    write_whole(status_file(home, namespace), msgspec.json.encode(status))


def read_status(home: Path) -> WriterStatus | None:
    """What the embedded writer has last told of itself; None if nothing."""
    try:
        return msgspec.json.decode(status_file(home).read_bytes(), type=WriterStatus)
    except (FileNotFoundError, msgspec.DecodeError):
        return None


def illness(told: WriterStatus | None) -> str | None:
    """Why a writer is not well, by what it has told last; None if it is."""
    if told is None:
        return "no writer has told of itself yet"
    if not told.is_fresh:
        return "the writer has told nothing of late"
    return told.problem


def main() -> None:
    """Tell whoever watches the process, as by its exit status."""
    reason = illness(read_status(home_in(Path.cwd(), os.environ)))
    if reason is not None:
        sys.exit(reason)


if __name__ == "__main__":
    main()
