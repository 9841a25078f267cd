"""How this process holds a lease: by its name, for as long as it is at work."""

from __future__ import annotations

import os
import re
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from typing import TYPE_CHECKING, TypeVar

from headrace_features.leases import Claim, LeaseHeldError
from headrace_features.processes import Started, is_alive, start_time
from headrace_schemas.errors import RetryableError

if TYPE_CHECKING:
    from headrace_features.online.layers import Generation
    from headrace_features.online.store import StateStore

_T = TypeVar("_T")

#: A process that hasn't been heard of for so long has ended, or is cut off.
LEASE_MS = 60_000
#: How a process is named, see `_claim`.
_HOLDER = re.compile(r"process (?P<pid>[0-9]+) on (?P<host>.+) \(started (?P<began>.+)\)")


def claimed(take: Callable[[Claim], _T]) -> _T:
    """Take a lease, also of a process of this machine that has ended.

    Args:
        take: takes it for whoever claims it.

    Raises:
        LeaseHeldError: another process has it, and hasn't ended.
    """
    claim = _claim()
    try:
        return take(claim)
    except LeaseHeldError as held:
        if not _has_ended(held.lease.holder):
            raise
        return take(claim._replace(over=held.lease.holder))


@contextmanager
def kept_up(renew: Callable[[int], None]) -> Iterator[None]:
    """Hold a lease while what is inside is at work.

    Args:
        renew: says until when it is held, ms UTC.
    """
    done = threading.Event()

    def again() -> None:
        # Three times in the time that it holds.
        while not done.wait(LEASE_MS / 3_000):
            # Who has lost it learns of that with the next write.
            with suppress(RetryableError):
                renew(_now_ms() + LEASE_MS)

    thread = threading.Thread(target=again, name="lease", daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


def begin(
    store: StateStore, view: str, boundary_ms: int, *, goes_on: bool, above: int
) -> Generation:
    """Start a generation of a view's batch layer, which has a lease.

    Raises:
        LeaseHeldError: another process is building one, and hasn't ended.
        ConfigurationError: readers have a generation with a later boundary already.
        RetryableError: there is none to go on from.
    """
    return claimed(
        lambda claim: store.begin(view, boundary_ms, claim, goes_on=goes_on, above=above)
    )


def renewed(store: StateStore, generation: Generation) -> AbstractContextManager[None]:
    """Hold the lease of a generation while what is inside is at work."""
    return kept_up(lambda until_ms: store.renew(generation, until_ms))


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
