"""The files of a history: a spine read in pieces, a result that appears whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress

import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow import fs

from headrace_batch.first_line import first_line
from headrace_batch.history_spine import SpineRows
from headrace_batch.locations import located
from headrace_schemas.errors import ConfigurationError

#: Rows that are read and written at once.
BATCH_ROWS = 1 << 18
#: Bytes that are read and written at once, where rows are large; a row at least.
_PIECE_BYTES = 1 << 27
#: Of a column's bytes, where a group of its rows may be larger than a piece.
_BUFFER = 1 << 22


def spine_file(path: str, storage_options: Mapping[str, str]) -> SpineRows:
    """The rows of a Parquet file.

    Args:
        path: a path of this machine, or a URL.
        storage_options: access to an object store.

    Raises:
        ConfigurationError: there is no such file, or it is no Parquet.
    """
    filesystem, name = _located("spine", path, storage_options)
    try:
        with pq.ParquetFile(name, filesystem=filesystem) as file:
            schema, count = file.schema_arrow, file.metadata.num_rows
    except FileNotFoundError as error:
        raise ConfigurationError(
            f"there is no spine {path!r}",
            hint="name a Parquet file by its path from here, or by its URL",
        ) from error
    except (pa.ArrowInvalid, OSError) as error:
        raise ConfigurationError(
            f"the spine {path!r} can't be read: {first_line(error)}",
            hint="a spine is one Parquet file",
        ) from error

    return SpineRows(schema, count, lambda columns: pieces(name, filesystem, columns))


def pieces(name: str, filesystem: fs.FileSystem, columns: Sequence[str]) -> Iterator[pa.Table]:
    """The rows of a Parquet file, so many at once as go into some memory."""
    metadata = pq.read_metadata(name, filesystem=filesystem)
    rows = rows_at_once([metadata], columns)
    buffer = _BUFFER if rows < BATCH_ROWS else 0
    with pq.ParquetFile(name, metadata=metadata, filesystem=filesystem, buffer_size=buffer) as file:
        for batch in file.iter_batches(rows, columns=list(columns)):
            yield pa.Table.from_batches([batch])


def rows_at_once(files: Iterable[pq.FileMetaData], columns: Sequence[str]) -> int:
    """How many rows of Parquet files are read at once: `BATCH_ROWS`, fewer where they are large.

    That is told by the group of rows in which they are largest, before compression.
    """
    largest = max(
        (
            sum(_column_bytes(group, columns)) / group.num_rows
            for file in files
            for group in map(file.row_group, range(file.num_row_groups))
            if group.num_rows
        ),
        default=0,
    )
    return BATCH_ROWS if not largest else max(1, min(BATCH_ROWS, int(_PIECE_BYTES / largest)))


def _column_bytes(group: pq.RowGroupMetaData, columns: Sequence[str]) -> Iterator[int]:
    for column in map(group.column, range(group.num_columns)):
        path = column.path_in_schema
        if path in columns or path.partition(".")[0] in columns:
            yield column.total_uncompressed_size


@contextmanager
def result_file(
    path: str, schema: pa.Schema, storage_options: Mapping[str, str]
) -> Iterator[pq.ParquetWriter]:
    """A writer of a Parquet file that takes its name when all is written, in place of an older one.

    Raises:
        ConfigurationError: the folder does not exist or can't be written to.
    """
    filesystem, name = _located("result", path, storage_options)
    if filesystem.get_file_info(name).type == fs.FileType.Directory:
        raise ConfigurationError(f"the result {path!r} is a folder", hint="name a file in it")
    folder, _, file = name.rpartition("/")
    unfinished = f"{folder}/.{file}.{os.getpid()}" if folder else f".{file}.{os.getpid()}"
    try:
        writer = pq.ParquetWriter(unfinished, schema, filesystem=filesystem, compression="zstd")
    except OSError as error:
        raise ConfigurationError(
            f"the result {path!r} can't be written: {first_line(error)}",
            hint="name a file in a folder that exists",
        ) from error
    try:
        with writer:
            yield writer
        filesystem.move(unfinished, name)
    except BaseException:
        with suppress(OSError):
            filesystem.delete_file(unfinished)
        raise


def _located(what: str, place: str, options: Mapping[str, str]) -> tuple[fs.FileSystem, str]:
    try:
        return located(place, options)
    except (pa.ArrowInvalid, OSError) as error:
        raise ConfigurationError(
            f"the {what} {place!r} can't be reached: {first_line(error)}",
            hint="name a file by its path, or by a URL such as s3://bucket/folder/file.parquet",
        ) from error
