"""The lease of a generation, held for as long as a process is at work on it."""

from __future__ import annotations

import os
import re
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from headrace_features.online.leases import Claim, LeaseHeldError
from headrace_features.processes import Started, is_alive, start_time
from headrace_schemas.errors import RetryableError

if TYPE_CHECKING:
    from headrace_features.online.layers import Generation
    from headrace_features.online.store import StateStore

#: A process that hasn't been heard of for so long has ended, or is cut off.
LEASE_MS = 60_000
#: It tells that it is at work three times in that time.
_RENEWED_S = LEASE_MS / 3_000
#: How a process is named, see `_claim`.
_HOLDER = re.compile(r"process (?P<pid>[0-9]+) on (?P<host>.+) \(started (?P<began>.+)\)")


def begin(
    store: StateStore, view: str, boundary_ms: int, *, goes_on: bool, above: int
) -> Generation:
    """Start a generation of a view's batch layer.

    Raises:
        LeaseHeldError: another process is building one, and hasn't ended.
        ConfigurationError: readers have a generation with a later boundary already.
        RetryableError: there is none to go on from.
    """
    claim = _claim()
    try:
        return store.begin(view, boundary_ms, claim, goes_on=goes_on, above=above)
    except LeaseHeldError as held:
        if not _has_ended(held.lease.holder):
            raise
        over = claim._replace(over=held.lease.holder)
        return store.begin(view, boundary_ms, over, goes_on=goes_on, above=above)


@contextmanager
def renewed(store: StateStore, generation: Generation) -> Iterator[None]:
    """Hold the lease of a generation while what is inside is at work."""
    done = threading.Event()

    def renew() -> None:
        while not done.wait(_RENEWED_S):
            # Who has lost it learns of that with the next write.
            with suppress(RetryableError):
                require_held(store, generation)

    thread = threading.Thread(target=renew, name="lease", daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


def require_held(store: StateStore, generation: Generation) -> None:
    """See that nobody else has begun a generation of the same view since.

    Raises:
        RetryableError: somebody has.
    """
    store.renew(generation, _now_ms() + LEASE_MS)


def _claim() -> Claim:
    now_ms = _now_ms()
    pid = os.getpid()
    holder = f"process {pid} on {socket.gethostname()} (started {start_time(pid)})"
    return Claim(holder, now_ms, now_ms + LEASE_MS)


def _has_ended(holder: str) -> bool:
    """Whether it was a process of this machine."""
    found = _HOLDER.fullmatch(holder)
    if found is None or found["host"] != socket.gethostname():
        return False
    return not is_alive(Started(int(found["pid"]), found["began"]))


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
