"""The spine of a training set: read from Parquet or Delta, numbered, and looked at for leaks."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import IO, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as pa_ds
import pyarrow.parquet as pq

from headrace_batch.history_files import BATCH_ROWS, spine_file
from headrace_batch.history_spine import EVENT_TIME, SpineRows
from headrace_batch.locations import located
from headrace_batch.staging.columns import ROW
from headrace_batch.staging.times import in_ms
from headrace_batch.warehouse import Warehouse, dataset_of
from headrace_schemas.errors import ConfigurationError, GateError
from headrace_schemas.tables import EVENT_DATE, KAFKA_OFFSET, KAFKA_PARTITION, KAFKA_TOPIC

_PLACES = {EVENT_DATE, KAFKA_TOPIC, KAFKA_PARTITION, KAFKA_OFFSET}


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


@dataclass(frozen=True, slots=True)
class Label:
    """What is to be foretold.

    Attributes:
        columns: of the spine.
        known_at: the column that says since when it is known; None where it is known at once.
    """

    columns: tuple[str, ...] = ()
    known_at: str | None = None


def numbered(spine: Spine, label: Label, out: IO[bytes]) -> None:
    """Write a spine with the number of each row, as Parquet, once it has no leak.

    Raises:
        GateError: features of a row are of a later time than its label.
        ConfigurationError: a column is missing.
    """
    schema = spine.rows.schema
    for name in (EVENT_TIME, *label.columns, *([label.known_at] if label.known_at else [])):
        if name not in schema.names:
            raise ConfigurationError.unknown("column of the spine", name, schema.names)
    if ROW in schema.names:
        raise ConfigurationError(
            f"the spine has a column {ROW!r}, which is what shards call the number of a row",
            hint="rename it",
        )
    leaks, example, first = 0, 0, 0
    with pq.ParquetWriter(
        out, schema.append(pa.field(ROW, pa.int64())), compression="zstd"
    ) as file:
        for table in spine.rows.read(schema.names):
            if label.known_at is not None:
                late = np.flatnonzero(
                    _known_ms(table[EVENT_TIME]) > _known_ms(table[label.known_at])
                )
                example = example if leaks or not len(late) else first + int(late[0])
                leaks += len(late)
            numbers = pa.array(np.arange(first, first + len(table)))
            file.write_table(table.append_column(ROW, numbers))
            first += len(table)
    if leaks:
        raise GateError(
            f"{leaks:,} of {first:,} rows of the spine have features of a later time than their"
            f" label, such as row {example}: {EVENT_TIME} is after {label.known_at}",
            hint=f"ask for features as of a time when {', '.join(label.columns)} was not known yet",
        )


def _known_ms(column: pa.ChunkedArray) -> np.ndarray[Any, Any]:
    """Times as ms UTC; a null is later than any."""
    found: np.ndarray[Any, Any] = pc.fill_null(in_ms(column), np.iinfo(np.int64).max).to_numpy()
    return found


def _of_table(warehouse: Warehouse, name: str) -> tuple[SpineRows, Mapping[str, Any]]:
    table = warehouse.open(name)
    found = dataset_of(table)
    # By day and by when each was written, so that a table written again has rows in the same order.
    files = sorted(found.get_fragments(), key=lambda one: one.path)
    dataset = pa_ds.FileSystemDataset(files, found.schema, found.format, found.filesystem)

    def read(columns: Sequence[str]) -> Iterator[pa.Table]:
        with warehouse.explaining(name):
            for batch in dataset.to_batches(columns=list(columns), batch_size=BATCH_ROWS):
                yield pa.Table.from_batches([batch])

    # What says where a row of the table is, or was, tells a model nothing.
    schema = pa.schema([one for one in dataset.schema if one.name not in _PLACES])
    rows = SpineRows(schema, dataset.count_rows(), read)
    return rows, {"table": name, "version": table.version(), "rows": rows.count}


def _hash_of(place: str, options: Mapping[str, str]) -> str:
    filesystem, name = located(place, options)
    with filesystem.open_input_stream(name) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
