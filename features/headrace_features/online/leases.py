"""Who may build a generation of a view's batch layer: one at a time, for as long as it goes on."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import NamedTuple

from headrace_schemas.errors import RetryableError


class Lease(NamedTuple):
    """Somebody's right to build a generation.

    Attributes:
        holder: names a process, see `Claim`.
        until_ms: it holds until then unless it is renewed, ms UTC.
    """

    holder: str
    until_ms: int


class Claim(NamedTuple):
    """What somebody who wants to build a generation says.

    Attributes:
        holder: names the process, the same as long as it lives.
        now_ms: the time, ms UTC.
        until_ms: until when it is at work at least; it may say so again.
        over: a holder that is known to have ended, whose lease doesn't count.
    """

    holder: str = ""
    now_ms: int = 0
    until_ms: int = 0
    over: str | None = None

    def require_free(self, lease: Lease | None, view: str) -> None:
        """See that nobody else is at work.

        Raises:
            LeaseHeldError: somebody is.
        """
        if lease is None or lease.until_ms <= self.now_ms:
            return
        if lease.holder not in {self.holder, self.over}:
            raise LeaseHeldError(view, lease)


#: Of one that nobody has to wait for.
UNCLAIMED = Claim()


class LeaseHeldError(RetryableError):
    """Somebody else builds a generation of the same view.

    Attributes:
        lease: whose it is.
    """

    def __init__(self, view: str, lease: Lease) -> None:
        until = datetime.fromtimestamp(lease.until_ms / 1000, UTC)
        super().__init__(
            f"{view} is being materialized by {lease.holder}, which holds the lease until"
            f" {until:%H:%M:%S} UTC and may renew it",
            hint="wait for it, then run this one again if needed",
        )
        self.lease = lease
