"""Appends to a Delta table so that nothing is written twice and nobody writes in between.

Every commit carries an application transaction: the identity of an ingest, and the number of the
last row of the file that it has dealt with. A later run reads that number and goes on after it.
A commit is only accepted as the very next version of the table that its rows were made for: what
was compared with the table still holds when it lands. Delta has no other writers' lock, and needs
none.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import pyarrow as pa
from deltalake import CommitProperties, DeltaTable, Transaction, write_deltalake
from deltalake.exceptions import CommitFailedError

from headrace_batch.first_line import first_line
from headrace_batch.warehouse import Warehouse
from headrace_schemas.errors import ConfigurationError, RetryableError

#: How often rows are made anew because somebody else has committed first.
ATTEMPTS = 50

_APPLICATION = "headrace.ingest"
_SET_ASIDE = "headrace.set_aside"


def this_process() -> str:
    """This process, as a table's history names it."""
    return f"{os.getpid()} on {socket.gethostname()}"


def times_set_aside(table: DeltaTable | None) -> int:
    """How often a day was taken out of a table into quarantine."""
    return (table.transaction_version(_SET_ASIDE) or 0) if table is not None else 0


def set_aside_once_more(table: DeltaTable) -> Transaction:
    """What the commit records that takes a day out: kept with the table, longer than its log."""
    return Transaction(_SET_ASIDE, times_set_aside(table) + 1)


@dataclass(frozen=True, slots=True)
class IngestOf:
    """Which content an ingest takes in, and the name of its file for people.

    `after` is how often a day had been set aside when the content is to come in though it did
    before: the progress of that is its own, until a day is set aside once more. 0: it comes once.
    """

    ingest_id: str
    file: str
    after: int = 0

    @property
    def application(self) -> str:
        """The application id of its transactions."""
        again = f":after:{self.after}" if self.after else ""
        return f"{_APPLICATION}:{self.ingest_id}{again}"

    @property
    def once(self) -> IngestOf:
        """The ingest of the same content that takes it in but once."""
        return replace(self, after=0)

    def again(self, table: DeltaTable) -> IngestOf:
        """The ingest that takes it in though it was in the table before days were set aside."""
        return replace(self, after=times_set_aside(table))

    def recorded(self, table: DeltaTable, upto: int) -> list[Transaction]:
        """The transactions that say that it has dealt with all rows up to number `upto`.

        What came in again is known as taken in as well: by itself it is not to come once more.
        """
        found = [Transaction(self.application, upto)]
        if self.after:
            known = max(upto, self.once.progress(table))
            found.append(Transaction(self.once.application, known))
        return found

    def progress(self, table: DeltaTable | None) -> int:
        """The number of the last row that a table already reflects; 0 for none."""
        return (table.transaction_version(self.application) or 0) if table is not None else 0

    def told(self) -> dict[str, str]:
        """What the table's history says about a commit."""
        return {
            "headrace.ingest_id": self.ingest_id,
            "headrace.file": self.file,
            "headrace.process": this_process(),
        }


@dataclass(frozen=True, slots=True)
class Addition:
    """One commit to come.

    Attributes:
        rows: what it adds.
        told: what the table's history says about it.
        recorded: the application transactions that say what it has dealt with.
    """

    rows: pa.Table
    told: Mapping[str, str]
    recorded: Sequence[Transaction]


@dataclass(frozen=True, slots=True)
class Appended:
    """The table after a commit, or after somebody else's that made it needless.

    `done_before` is the number of the last row that was dealt with before this commit.
    """

    table: DeltaTable
    done_before: int


@dataclass(frozen=True, slots=True)
class Appender:
    """Appends to one table, which is created when it is first needed."""

    warehouse: Warehouse
    table: str
    schema: pa.Schema
    partition_by: Sequence[str] = ()

    def append(
        self, ingest: IngestOf, upto: int, rows_of: Callable[[DeltaTable, int], pa.Table]
    ) -> Appended:
        """Commit what is new among the rows up to number `upto` of a file.

        Args:
            ingest: whose rows they are.
            upto: the number of the last of them.
            rows_of: makes the rows to write, given the table as it is and the number of the last
                row that it already reflects. Called again where another commit came first.

        Raises:
            ConfigurationError: the table can't be read, or has other types.
            RetryableError: others kept committing, or the store can't be reached.
        """
        done = 0

        def made(table: DeltaTable) -> Addition | None:
            nonlocal done
            done = min(ingest.progress(table), upto)
            if done >= upto:
                return None
            return Addition(rows_of(table, done), ingest.told(), ingest.recorded(table, upto))

        table = self.append_next(made)
        return Appended(table, done)

    def append_next(self, made: Callable[[DeltaTable], Addition | None]) -> DeltaTable:
        """Commit what is made of the newest version of the table as its very next version.

        Args:
            made: makes what to commit, or None where the table needs nothing more. Called again
                where another commit came first.

        Returns:
            The table after the commit, or the one that needs nothing more.

        Raises:
            ConfigurationError: the table can't be read, or has other types.
            RetryableError: others kept committing, or the store can't be reached.
        """
        cause = ""
        for _ in range(ATTEMPTS):
            table = self.opened()
            addition = made(table)
            if addition is None:
                return table
            try:
                self._commit(table, addition)
            except CommitFailedError as error:
                cause = first_line(error)
                continue
            return table
        raise RetryableError(
            f"{self.table} was committed to by others {ATTEMPTS} times in a row, last by"
            f" {self._last_writer()} ({cause})",
            hint="run it again when they are done: what is ingested stays, and is not repeated",
        )

    def opened(self) -> DeltaTable:
        """The table, created where there is none, whose columns fit."""
        table = self.warehouse.create(self.table, self.schema, partition_by=self.partition_by)
        there = pa.schema(table.schema().to_arrow())
        for field in self.schema:
            if field.name in there.names and there.field(field.name).type != field.type:
                raise ConfigurationError(
                    f"column {field.name} of table {self.table} is"
                    f" {there.field(field.name).type}, and {field.type} by its schema now",
                    hint="give the changed column a new name, or the source another table",
                )
        return table

    def _commit(self, table: DeltaTable, addition: Addition) -> None:
        with self.warehouse.explaining(self.table, except_for=CommitFailedError):
            write_deltalake(
                table,
                addition.rows,
                mode="append",
                # A column that the schema has gained since is added to the table.
                schema_mode="merge",
                commit_properties=CommitProperties(
                    custom_metadata=dict(addition.told),
                    max_commit_retries=0,
                    app_transactions=list(addition.recorded),
                ),
            )

    def _last_writer(self) -> str:
        told = self.warehouse.open(self.table).history(1)[0]
        process = told.get("headrace.process", told.get("engineInfo", "an unknown process"))
        return f"process {process}, {told.get('headrace.file', told.get('operation', ''))}"
