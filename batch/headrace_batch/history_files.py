"""The files of a history: a spine read in pieces, a result that appears whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
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


def spine_file(path: str, storage_options: Mapping[str, str]) -> SpineRows:
    """The rows of a Parquet file.

    Args:
        path: a path of this machine, or a URL.
        storage_options: access to an object store.

    Raises:
        ConfigurationError: there is no such file, or it is no Parquet.
    """
    filesystem, name = located(path, storage_options)
    try:
        with pq.ParquetFile(name, filesystem=filesystem) as file:
            schema, count = file.schema_arrow, file.metadata.num_rows
    except FileNotFoundError as error:
        raise ConfigurationError(f"there is no spine {path!r}") from error
    except (pa.ArrowInvalid, OSError) as error:
        raise ConfigurationError(
            f"the spine {path!r} can't be read: {first_line(error)}",
            hint="a spine is one Parquet file",
        ) from error

    def read(columns: Sequence[str]) -> Iterator[pa.Table]:
        with pq.ParquetFile(name, filesystem=filesystem) as file:
            for batch in file.iter_batches(BATCH_ROWS, columns=list(columns)):
                yield pa.Table.from_batches([batch])

    return SpineRows(schema, count, read)


@contextmanager
def result_file(
    path: str, schema: pa.Schema, storage_options: Mapping[str, str]
) -> Iterator[pq.ParquetWriter]:
    """A writer of a Parquet file that takes its name when all is written, in place of an older one.

    Raises:
        ConfigurationError: the folder does not exist or can't be written to.
    """
    filesystem, name = located(path, storage_options)
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
