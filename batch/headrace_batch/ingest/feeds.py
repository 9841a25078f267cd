"""Which sources a file feeds, and from which of its columns each column of a contract comes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import pyarrow as pa

from headrace_batch.ingest.casting import Cast, cast, is_castable
from headrace_batch.ingest.contract import Contract, contract_of
from headrace_features.definitions.sources import EventSource
from headrace_schemas.columns import Column
from headrace_schemas.errors import ConfigurationError


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a column comes from: a column of the file, and how its values are taken."""

    file_column: str
    take: Callable[[pa.Array, Column], Cast] = cast
    accepts: Callable[[pa.DataType, Column], bool] = is_castable


@dataclass(frozen=True, slots=True)
class Feed:
    """One source that a file feeds. A column of the contract without an origin is null."""

    contract: Contract
    origins: Mapping[str, Origin]

    def columns_in(self, schema: pa.Schema) -> list[str]:
        """The columns of a file that this feed reads, in the order of the file."""
        wanted = {origin.file_column for origin in self.origins.values()}
        return [name for name in schema.names if name in wanted]

    def require(self, schema: pa.Schema, url: str) -> None:
        """Raise ConfigurationError unless a file with these columns can feed the source."""
        missing: list[str] = []
        for column in self.contract.columns:
            origin = self.origins.get(column.name)
            if origin is None or origin.file_column not in schema.names:
                if not column.nullable:
                    missing.append(column.name if origin is None else origin.file_column)
                continue
            kind = schema.field(origin.file_column).type
            if not origin.accepts(kind, column):
                raise ConfigurationError(
                    f"{url}: column {origin.file_column} is {kind}, from which"
                    f" {self.contract.name}.{column.name} ({column.type}) can't be taken",
                    hint="convert the column, or drop it where it may be null",
                )
        if missing:
            names = ", ".join(schema.names) or "none"
            raise ConfigurationError(
                f"{url} has no column {', '.join(missing)}, which {self.contract.name} requires",
                hint=f"columns there: {names}",
            )

    def take(self, table: pa.Table) -> list[Cast]:
        """The columns of the contract, in its order, out of rows as the file has them."""
        return [self._take(table, column) for column in self.contract.columns]

    def _take(self, table: pa.Table, column: Column) -> Cast:
        origin = self.origins.get(column.name)
        if origin is None or origin.file_column not in table.column_names:
            return cast(pa.nulls(table.num_rows), column)
        return origin.take(_as_array(table.column(origin.file_column)), column)


def plain_feed(source: EventSource) -> Feed:
    """A feed for files whose columns are named as in the contract of the source."""
    contract = contract_of(source)
    return Feed(contract, {column.name: Origin(column.name) for column in contract.columns})


def _as_array(column: pa.ChunkedArray) -> pa.Array:
    whole = column.combine_chunks()
    # Of no chunks at all, Arrow makes a chunked array again.
    return pa.array([], column.type) if isinstance(whole, pa.ChunkedArray) else whole
