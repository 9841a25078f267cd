"""Tables of a training set, which are replaced as a whole and say which day they are of."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator, Mapping
from datetime import date
from typing import IO, TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq
from deltalake import Transaction, write_deltalake

from headrace_batch.local_spill import workspace_of
from headrace_batch.staging.spine import KNOWN_BEFORE, UNLABELLED
from headrace_batch.table_lease import held
from headrace_batch.warehouse import Warehouse
from headrace_schemas.errors import ConfigurationError
from headrace_schemas.tables import EVENT_DATE

if TYPE_CHECKING:
    from deltalake import DeltaTable

    from headrace_schemas.settings import Settings

#: The day that a table is of, as its number since 0001-01-01.
_DAY = "headrace.training:day"
#: The versions of the tables that it was made of.
_MADE_OF = "headrace.training:of:"
#: By reason how many rows are not in it.
_LEFT_OUT = "headrace.training:left-out:"


def replace_table(  # noqa: PLR0913, PLR0917 - each of another kind
    settings: Settings,
    name: str,
    day: date,
    schema: pa.Schema,
    batches: Iterable[pa.RecordBatch],
    made_of: Iterable[Transaction] = (),
) -> int:
    """Put rows in place of all that a table has, in one commit; their number.

    Args:
        settings: where the table is.
        name: of it.
        day: that it is of from then on.
        schema: of the rows, the day of each among them.
        batches: of rows.
        made_of: what the commit says besides, told once all rows are there.

    Raises:
        RetryableError: another process writes it, or the store is away.
    """
    warehouse = Warehouse.of(settings)
    warehouse.create(name, schema, partition_by=[EVENT_DATE])
    aside = workspace_of(settings.home).folder
    aside.mkdir(parents=True, exist_ok=True)
    # Through a file of this machine: what a writer of deltalake takes may not read by deltalake.
    # It has no name, so that nothing is left of it whatever becomes of the process.
    with held(warehouse, name) as lease, tempfile.TemporaryFile(dir=aside) as spool:
        count = 0
        with pq.ParquetWriter(spool, schema, compression="lz4") as file:
            for batch in batches:
                file.write_batch(batch)
                count += len(batch)
        reader = pa.RecordBatchReader.from_batches(schema, _batches(spool))
        told = Transaction(_DAY, day.toordinal())
        with lease.publishing(told, *made_of) as (table, properties):
            write_deltalake(
                table,
                reader,
                mode="overwrite",
                schema_mode="overwrite",
                commit_properties=properties,
            )
    return count


def require_of_day(table: DeltaTable, name: str, day: date, command: str) -> None:
    """See that a table is of a day.

    Args:
        table: as it was opened.
        name: of it.
        day: which.
        command: makes it.

    Raises:
        ConfigurationError: it is of another.
    """
    found = table.transaction_version(_DAY)
    if found != day.toordinal():
        of = "no day" if found is None else date.fromordinal(found)
        raise ConfigurationError(
            f"{name} is of {of}, expected {day}", hint=f"make it first: {command} --date {day}"
        )


def told_made_of(versions: Mapping[str, int]) -> list[Transaction]:
    """What a commit says of the tables that its rows were made of, by name their versions."""
    return [Transaction(f"{_MADE_OF}{table}", number) for table, number in versions.items()]


def made_of(table: DeltaTable, names: Iterable[str]) -> dict[str, int]:
    """What the last commit of a table has said of some of these; lacks those it says nothing of."""
    told = {name: table.transaction_version(f"{_MADE_OF}{name}") for name in names}
    return {name: number for name, number in told.items() if number is not None}


def told_left_out(rows: Mapping[str, int]) -> list[Transaction]:
    """What a commit says of rows that are not in a table, by the reason."""
    return [Transaction(f"{_LEFT_OUT}{reason}", count) for reason, count in rows.items()]


def left_out_of(table: DeltaTable) -> dict[str, int]:
    """What the last commit of a table has said of these."""
    told = {
        reason: table.transaction_version(f"{_LEFT_OUT}{reason}")
        for reason in (UNLABELLED, KNOWN_BEFORE)
    }
    return {reason: count for reason, count in told.items() if count is not None}


def _batches(spool: IO[bytes]) -> Iterator[pa.RecordBatch]:
    with pq.ParquetFile(spool) as file:
        yield from file.iter_batches()
