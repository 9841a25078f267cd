"""The spine of a training set, read from Parquet or Delta, and which of its columns are labels."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as pa_ds

from headrace_batch.history_files import rows_at_once, spine_file
from headrace_batch.history_spine import SpineRows
from headrace_batch.locations import located
from headrace_batch.warehouse import Warehouse, dataset_of
from headrace_schemas.tables import EVENT_DATE, KAFKA_OFFSET, KAFKA_PARTITION, KAFKA_TOPIC

#: Why rows are left out: they have no label, or one that was known before their time.
UNLABELLED, KNOWN_BEFORE = "unlabelled", "known_before"

_PLACES = {EVENT_DATE, KAFKA_TOPIC, KAFKA_PARTITION, KAFKA_OFFSET}
#: Pieces that are read while one is used.
_AHEAD = 4


@dataclass(frozen=True, slots=True)
class Spine:
    """The rows that a training set is made for.

    Attributes:
        place: a Parquet file, by path or URL, or the name of a table of the warehouse.
        rows: to be read piece by piece.
        identity: what tells these rows from others: the hash of the file, or the table's version.
    """

    place: str
    rows: SpineRows
    identity: Mapping[str, Any]

    @property
    def is_table(self) -> bool:
        """Whether it is one of the warehouse."""
        return "table" in self.identity

    @classmethod
    def open(cls, warehouse: Warehouse, place: str, options: Mapping[str, str]) -> Spine:
        """A spine by its place.

        Raises:
            ConfigurationError: there is none, or it can't be read.
        """
        if "/" not in place and not place.endswith(".parquet"):
            return cls(place, *_of_table(warehouse, place))
        rows = spine_file(place, options)
        return cls(place, rows, {"sha256": _hash_of(place, options), "rows": rows.count})


class Unlabelled(StrEnum):
    """What becomes of rows that lack a label: nothing is made, they are left out, or are kept."""

    REFUSE = "refuse"
    LEAVE_OUT = "leave-out"
    KEEP = "keep"


@dataclass(frozen=True, slots=True)
class Label:
    """What is to be foretold.

    Attributes:
        columns: of the spine.
        known_at: the column that says since when it is known; None where it is known at once.
        unlabelled: what becomes of rows of which one of these columns is null, NaN or infinite, or
            of which it isn't known since when they are.
    """

    columns: tuple[str, ...] = ()
    known_at: str | None = None
    unlabelled: Unlabelled = Unlabelled.REFUSE

    def known(self, rows: pa.Table) -> pa.Table:
        """Rows of a spine whose labels are null where nothing says since when they are known.

        Nobody can tell whether the features of such a row are of a later time than its label.
        """
        if self.known_at is None or not rows[self.known_at].null_count:
            return rows
        is_known = rows[self.known_at].is_valid()
        for name in self.columns:
            place, nothing = rows.schema.get_field_index(name), pa.scalar(None, rows[name].type)
            rows = rows.set_column(place, name, pc.if_else(is_known, rows[name], nothing))
        return rows


def _of_table(warehouse: Warehouse, name: str) -> tuple[SpineRows, Mapping[str, Any]]:
    table = warehouse.open(name)
    found = dataset_of(table)
    # By day and by when each was written, so that a table written again has rows in the same order.
    files = sorted(found.get_fragments(), key=lambda one: one.path)
    dataset = pa_ds.FileSystemDataset(files, found.schema, found.format, found.filesystem)

    def read(columns: Sequence[str]) -> Iterator[pa.Table]:
        with warehouse.explaining(name):
            for batch in dataset.to_batches(
                columns=list(columns),
                batch_size=rows_at_once((one.metadata for one in files), columns),
                batch_readahead=_AHEAD,
                fragment_readahead=1,
            ):
                yield pa.Table.from_batches([batch])

    # What says where a row of the table is, or was, tells a model nothing.
    schema = pa.schema([one for one in dataset.schema if one.name not in _PLACES])
    rows = SpineRows(schema, dataset.count_rows(), read)
    return rows, {"table": name, "version": table.version(), "rows": rows.count}


def _hash_of(place: str, options: Mapping[str, str]) -> str:
    filesystem, name = located(place, options)
    with filesystem.open_input_stream(name) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
