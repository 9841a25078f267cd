"""Which values of columns other sources have, for the rules that refer to them.

Integers are held as they are and texts as hashes, 8 bytes for each distinct value, so that they can
go to workers: that a text is taken for a known one has, for each known one, a chance of 1 in 2^64.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from headrace_batch.ingest.key_hashes import Bools, Hashes, Integers, contains, key_hashes
from headrace_features.definitions.row_rules import ReferenceRule
from headrace_schemas.errors import ConfigurationError

if TYPE_CHECKING:
    from headrace_batch.warehouse import Warehouse
    from headrace_features.definitions.sources import EventSource

_BATCH_ROWS = 131_072


@dataclass(frozen=True, slots=True)
class KnownValues:
    """The values of a column, in ascending order, as numbers."""

    numbers: Hashes | Integers

    def __call__(self, values: pa.Array) -> Bools:
        """Which of some values, without nulls, are among them."""
        return contains(self.numbers, _numbers(values))


def known_values(
    warehouse: Warehouse, source: EventSource, sources: Mapping[str, EventSource]
) -> dict[str, KnownValues]:
    """By the name of each rule of a source that refers to another one: what that has.

    Raises:
        ConfigurationError: the other source has no table yet.
    """
    return {
        rule.name: _read(warehouse, source, rule, sources[rule.to])
        for rule in source.rules
        if isinstance(rule, ReferenceRule)
    }


def _read(
    warehouse: Warehouse, source: EventSource, rule: ReferenceRule, to: EventSource
) -> KnownValues:
    if not warehouse.exists(to.table):
        raise ConfigurationError(
            f"the rule {rule.name} of {source.name} refers to {to.name}, of which there is no"
            f" table {to.table}",
            hint=f"ingest events of {to.name} first",
        )
    with warehouse.explaining(to.table):
        batches = (
            warehouse.dataset(to.table)
            .scanner(columns=[rule.to_column], batch_size=_BATCH_ROWS, batch_readahead=4)
            .to_batches()
        )
        return KnownValues(_distinct(batch.column(0) for batch in batches))


def _distinct(columns: Iterable[pa.Array]) -> Hashes | Integers:
    parts = [np.unique(_numbers(column.drop_null())) for column in columns]
    found: Hashes | Integers = np.empty(0, np.int64)
    return np.unique(np.concatenate(parts)) if parts else found  # type: ignore[return-value] # all are of one type


def _numbers(values: pa.Array) -> Hashes | Integers:
    return key_hashes(values) if pa.types.is_string(values.type) else values.to_numpy()
