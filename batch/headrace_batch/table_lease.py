"""The lease of a table in the lake: one process at a time replaces what is in it.

A lease is taken, renewed and given back by commits to the table's own log, which Delta makes one
after the other. An application transaction tells its number, another one until when it is held.
Whoever publishes says the number again with its rows: Delta refuses a commit if somebody has
committed the same application since the version it was made on, so that one who was paused, and
has lost the lease without knowing, writes nothing.

Numbers are even. Spark says the odd one above: its writer leaves a commit out, without a word,
whose transaction isn't above the one that the table has.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass

import pyarrow as pa
from deltalake import CommitProperties, DeltaTable, Transaction, write_deltalake
from deltalake.exceptions import CommitFailedError

from headrace_batch.commits import told_by
from headrace_batch.leased import LEASE_MS, claimed, kept_up
from headrace_batch.warehouse import Warehouse
from headrace_features.leases import Claim, Lease
from headrace_schemas.errors import RetryableError

_NUMBER = "headrace.lease"
_UNTIL = "headrace.lease:until"
#: What the table's history says of a commit under a lease.
_HOLDER, _SINCE = "headrace.holder", "headrace.since"
#: How far back that is looked for: others than the holder may commit, but seldom do.
_COMMITS = 50
_ATTEMPTS = 5


@dataclass(frozen=True, slots=True)
class TableLease:
    """The right to replace what is in a table; see `held`.

    Attributes:
        warehouse: where the table is.
        table: its name.
        number: of the lease; later ones have greater ones.
        holder: see `Claim`.
        since_ms: when it was taken, ms UTC.
    """

    warehouse: Warehouse
    table: str
    number: int
    holder: str
    since_ms: int

    @property
    def conflict(self) -> RetryableError:
        """What is said where somebody who asks for no lease has written meanwhile."""
        return RetryableError(
            f"somebody without a lease has written the same rows of {self.table}",
            hint="run it again",
        )

    @contextmanager
    def publishing(self, *further: Transaction) -> Iterator[tuple[DeltaTable, CommitProperties]]:
        """The newest version of the table, and what a commit onto it has to say.

        Args:
            further: what it says besides.

        Raises:
            RetryableError: another process has taken the lease, or has written the same rows.
        """
        with self.warehouse.explaining(self.table, except_for=CommitFailedError):
            try:
                yield self.opened(), self._saying(Transaction(_NUMBER, self.number), *further)
            except CommitFailedError as error:
                self.opened()
                raise self.conflict from error

    @contextmanager
    def publishing_by_spark(self) -> Iterator[Mapping[str, str]]:
        """The options with which Spark's only commit to the table says the same.

        What Spark says of a conflict is to be raised as `conflict` inside.

        Raises:
            RetryableError: another process has taken the lease, or has written the same rows.
        """
        try:
            yield {
                "txnAppId": _NUMBER,
                "txnVersion": str(self.number + 1),
                "userMetadata": json.dumps(self._told()),
            }
        except RetryableError:
            self.opened()
            raise
        table = self.warehouse.open(self.table)
        # If it was taken right after the commit, what is there may be another's already.
        if table.transaction_version(_NUMBER) != self.number + 1:
            raise self._lost(table)

    def opened(self) -> DeltaTable:
        """The newest version of the table.

        Raises:
            RetryableError: another process has taken the lease.
        """
        table = self.warehouse.open(self.table)
        if (table.transaction_version(_NUMBER) or 0) > self.number + 1:
            raise self._lost(table)
        return table

    def _lost(self, table: DeltaTable | None = None) -> RetryableError:
        """What is said once another process has taken the lease."""
        by = _lease_of(table or self.warehouse.open(self.table))
        return RetryableError(
            f"{by.holder} has taken over {self.table}, as this one was not heard of for"
            f" {LEASE_MS // 1000} s: it was paused, or cut off",
            hint="wait for it, then run this one again",
        )

    def renew(self, until_ms: int) -> None:
        """Hold it until another time, ms UTC; 0 gives it back.

        Raises:
            RetryableError: another process has taken the lease.
        """
        with self.warehouse.explaining(self.table, except_for=CommitFailedError):
            try:
                _note(self.opened(), self._saying(Transaction(_UNTIL, until_ms)))
            except CommitFailedError as error:
                raise self._lost() from error

    def _saying(self, *transactions: Transaction) -> CommitProperties:
        return CommitProperties(app_transactions=[*transactions], custom_metadata=self._told())

    def _told(self) -> dict[str, str]:
        return {_HOLDER: self.holder, _SINCE: str(self.since_ms)}


@contextmanager
def held(warehouse: Warehouse, table: str) -> Iterator[TableLease]:
    """Hold the lease of a table that exists while what is inside is at work.

    Raises:
        LeaseHeldError: another process has it, and hasn't ended.
    """
    lease = claimed(lambda claim: _taken(warehouse, table, claim))
    try:
        with kept_up(lease.renew):
            yield lease
    finally:
        # If it is lost there is nothing to give back; if the store is away it ends by itself.
        with suppress(RetryableError):
            lease.renew(0)


def _taken(warehouse: Warehouse, table: str, claim: Claim) -> TableLease:
    for _ in range(_ATTEMPTS):
        found = warehouse.open(table)
        if (found.transaction_version(_UNTIL) or 0) > claim.now_ms:
            # Only then: who has it is looked up in the table's history.
            claim.require_free(_lease_of(found), f"{table} is being written")
        number = ((found.transaction_version(_NUMBER) or 0) // 2 + 1) * 2
        lease = TableLease(warehouse, table, number, claim.holder, claim.now_ms)
        properties = CommitProperties(
            app_transactions=[Transaction(_NUMBER, number), Transaction(_UNTIL, claim.until_ms)],
            custom_metadata=lease._told(),  # noqa: SLF001 - of the same module
        )
        with warehouse.explaining(table, except_for=CommitFailedError), suppress(CommitFailedError):
            _note(found, properties)
            return lease
    raise RetryableError(
        f"others kept taking the lease of {table} just before this one", hint="run it again"
    )


def _lease_of(table: DeltaTable) -> Lease:
    """The lease that a table has, or had last."""
    until_ms = table.transaction_version(_UNTIL) or 0
    for commit in table.history(_COMMITS):
        told = told_by(commit)
        if _HOLDER in told:
            return Lease(told[_HOLDER], until_ms, int(told[_SINCE]))
    return Lease("another process", until_ms)


def _note(table: DeltaTable, properties: CommitProperties) -> None:
    """Commit no rows."""
    nothing = pa.schema(table.schema().to_arrow()).empty_table()
    write_deltalake(table, nothing, mode="append", commit_properties=properties)
