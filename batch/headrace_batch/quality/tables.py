"""The tables that gates stand before, and how what gates say is kept."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from deltalake import CommitProperties, write_deltalake
from deltalake.exceptions import CommitFailedError

from headrace_features.definitions.sources import EventSource
from headrace_features.definitions.training_sets import TrainingSet
from headrace_schemas.errors import RetryableError
from headrace_schemas.tables import features_table, training_table

if TYPE_CHECKING:
    from collections.abc import Callable

    import pyarrow as pa

    from headrace_batch.warehouse import Warehouse
    from headrace_features.definitions.gates import Gate

_ATTEMPTS = 20


def gated_table(gate: Gate) -> str:
    """The table of a source's events, of the features of a view's version, or of a set's rows."""
    if isinstance(gate.of, EventSource):
        return gate.of.table
    if isinstance(gate.of, TrainingSet):
        return training_table(gate.of.name)
    return features_table(gate.of.name, gate.of.version)


def replace_rows(
    warehouse: Warehouse,
    table: str,
    schema: pa.Schema,
    where: str,
    rows_of: Callable[[Warehouse], pa.Table],
) -> None:
    """Put rows in place of those that fulfil a condition of SQL, all in one commit.

    Args:
        warehouse: where the table is.
        table: its name; it is made where it isn't there yet.
        schema: of its rows.
        where: which go.
        rows_of: makes those that come, of the warehouse with the table as it is while nobody else
            has committed to it; asked again when somebody has.

    Raises:
        RetryableError: others kept committing, or the store can't be reached.
    """
    for _ in range(_ATTEMPTS):
        found = warehouse.create(table, schema)
        rows = rows_of(replace(warehouse, versions={table: found.version()}))
        with warehouse.explaining(table, except_for=CommitFailedError):
            try:
                write_deltalake(
                    found,
                    rows,
                    mode="overwrite",
                    predicate=where,
                    commit_properties=CommitProperties(max_commit_retries=0),
                )
            except CommitFailedError:
                continue
            return
    raise RetryableError(
        f"{table} was committed to by others {_ATTEMPTS} times in a row", hint="run it again"
    )
