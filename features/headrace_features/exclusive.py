"""What one process may do at a time, held by a lock file that the system frees with its holder."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from headrace_schemas.errors import RetryableError


@contextmanager
def exclusive(lock: Path, taken: RetryableError) -> Iterator[None]:
    """Hold a lock file, made where it is missing; it stays.

    Raises:
        RetryableError: `taken`, as another process holds it.
    """
    lock.parent.mkdir(parents=True, exist_ok=True)
    with lock.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise taken from error
        yield


@contextmanager
def taking_turns(lock: Path) -> Iterator[None]:
    """Hold a lock file likewise, once whoever holds it is done."""
    with lock.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
