"""Who may write something that one process at a time writes, for as long as it goes on.

A lease has a number that rises with each (the id of a generation, the number of a table's lease).
Who holds it tells so now and then; who hasn't for a while has lost it, and may learn of that late:
it was paused, or cut off. So whatever is written bears the number, and is refused where a later one
has been seen.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import NamedTuple

from headrace_schemas.errors import RetryableError


class Lease(NamedTuple):
    """Somebody's right to write.

    Attributes:
        holder: names a process, see `Claim`.
        until_ms: it holds until then unless it is renewed, ms UTC.
        since_ms: when it began, ms UTC; None where that isn't noted.
    """

    holder: str
    until_ms: int
    since_ms: int | None = None


class Claim(NamedTuple):
    """What somebody who wants to write says.

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

    def require_free(self, lease: Lease | None, what: str) -> None:
        """See that nobody else is at work.

        Args:
            lease: the one that there is.
            what: what is going on then, such as `card_activity is being materialized`.

        Raises:
            LeaseHeldError: somebody is.
        """
        if lease is None or lease.until_ms <= self.now_ms:
            return
        if lease.holder not in {self.holder, self.over}:
            raise LeaseHeldError(what, lease)


#: Of one that nobody has to wait for.
UNCLAIMED = Claim()


class LeaseHeldError(RetryableError):
    """Somebody else is at what is to be done.

    Attributes:
        lease: whose it is.
    """

    def __init__(self, what: str, lease: Lease) -> None:
        since = "" if lease.since_ms is None else f" since {_clock(lease.since_ms)}"
        super().__init__(
            f"{what} by {lease.holder}{since}, which holds the lease until"
            f" {_clock(lease.until_ms)} UTC and may renew it",
            hint="wait for it, then run this one again if needed",
        )
        self.lease = lease


def _clock(time_ms: int) -> str:
    return f"{datetime.fromtimestamp(time_ms / 1000, UTC):%H:%M:%S}"
