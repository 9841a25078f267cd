"""What one process may do at a time, held by a lock file that the system frees with its holder."""

from __future__ import annotations

import fcntl
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from headrace_schemas.errors import RetryableError

_POLL_S = 0.2


@contextmanager
def exclusive(lock: Path, taken: RetryableError, patience_s: float = 0.0) -> Iterator[int]:
    """Hold a lock file, made where it is missing; it stays.

    The value is the number of the open file: a process that it is passed on to holds the lock as
    well, however this one ends.

    Args:
        lock: the file.
        taken: what is raised.
        patience_s: how long to wait for another one, in seconds.

    Raises:
        RetryableError: `taken`, as another process holds it.
    """
    lock.parent.mkdir(parents=True, exist_ok=True)
    deadline = time.monotonic() + patience_s
    with lock.open("w") as file:
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError as error:
                if time.monotonic() >= deadline:
                    raise taken from error
                time.sleep(_POLL_S)
        yield file.fileno()


@contextmanager
def taking_turns(lock: Path) -> Iterator[None]:
    """Hold a lock file likewise, once whoever holds it is done."""
    with lock.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
