"""The feature table of a view: created once, tied to the view's meaning, replaced by days.

One process at a time does so, on whatever days: see `headrace_batch.table_lease`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING

import pyarrow as pa
from deltalake import CommitProperties, DeltaTable, Transaction, write_deltalake
from deltalake.exceptions import DeltaError

from headrace_batch.backfill_rows import feature_columns
from headrace_batch.meaning import FINGERPRINT, require_meaning
from headrace_batch.table_lease import TableLease, held
from headrace_batch.warehouse import Warehouse
from headrace_features.definitions.fingerprint import fingerprint
from headrace_schemas.tables import EVENT_DATE, features_table

if TYPE_CHECKING:
    import pyarrow as pa

    from headrace_features.definitions.views import FeatureView

#: Statistics of key and time, the first two columns: nobody looks for features by their value.
_PROPERTIES = {"delta.dataSkippingNumIndexedCols": "2"}


@dataclass(frozen=True, slots=True)
class FeatureTable:
    """The feature table of a view, which this process alone replaces days of.

    Attributes:
        columns: their order in the table, which is that of the view when the table was made.
    """

    lease: TableLease
    columns: tuple[str, ...]

    @classmethod
    @contextmanager
    def held(cls, warehouse: Warehouse, view: FeatureView) -> Iterator[FeatureTable]:
        """The table of a view, created empty where there is none, for as long as it is written.

        Events are to be read within: what was read before may be older than what another backfill
        has written in the meantime.

        Raises:
            ConfigurationError: it holds the values of another definition, or is damaged; or the
                view's source has no table.
            LeaseHeldError: another process writes it.
        """
        name = features_table(view.name, view.version)
        table = warehouse.find(name) or _created(warehouse, name, view)
        require_meaning(table, view, warehouse.uri(name))
        columns = tuple(field.name for field in table.schema().fields)
        with held(warehouse, name) as lease:
            yield cls(lease, columns)

    @property
    def uri(self) -> str:
        """Where it is."""
        return self.lease.warehouse.uri(self.lease.table)

    def replace(self, first: date, last: date, rows: pa.Table) -> None:
        """Put rows in the place of all rows of some days, in one commit.

        Raises:
            RetryableError: another process has taken the table over.
        """
        with self.lease.publishing() as (table, properties):
            write_deltalake(
                table,
                rows.select(self.columns),
                mode="overwrite",
                predicate=days_predicate(first, last),
                commit_properties=properties,
            )

    def note(self, transactions: Iterable[Transaction]) -> None:
        """Commit application transactions, without rows.

        Raises:
            RetryableError: another process has taken the table over.
        """
        with self.lease.publishing(*transactions) as (table, properties):
            nothing = pa.schema(table.schema().to_arrow()).empty_table()
            write_deltalake(table, nothing, mode="append", commit_properties=properties)


def days_predicate(first: date, last: date) -> str:
    """The rows of some days, in SQL; both days are included."""
    return f"{EVENT_DATE} >= '{first}' AND {EVENT_DATE} <= '{last}'"


def _created(warehouse: Warehouse, name: str, view: FeatureView) -> DeltaTable:
    # Nothing is left behind where there is nothing to compute from.
    warehouse.open(view.source.table)
    with warehouse.explaining(name):
        try:
            return DeltaTable.create(
                warehouse.uri(name),
                schema=feature_columns(view),
                partition_by=[EVENT_DATE],
                configuration={FINGERPRINT: fingerprint(view), **_PROPERTIES},
                raise_if_key_not_exists=False,
                storage_options=dict(warehouse.storage_options),
                # Otherwise the later of two creates the table anew on top of the first.
                commit_properties=CommitProperties(max_commit_retries=0),
            )
        except DeltaError:
            # Another backfill may have been faster.
            found = warehouse.find(name)
            if found is None:
                raise
            return found
