"""Reads the rows of a Parquet file in bounded batches."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from headrace_batch.ingest.input_files import InputFile, explaining
from headrace_batch.ingest.raw_rows import RawRows

_BATCH_ROWS = 131_072


def parquet_schema(file: InputFile) -> pa.Schema:
    """The columns of a file; raises ConfigurationError where it is no Parquet file."""
    with explaining(file.url), file.open() as stream:
        return pq.ParquetFile(stream).schema_arrow


def row_group_rows(file: InputFile) -> list[int]:
    """How many rows each row group of a file has."""
    with explaining(file.url), file.open() as stream:
        metadata = pq.ParquetFile(stream).metadata
        return [metadata.row_group(group).num_rows for group in range(metadata.num_row_groups)]


def read_parquet(file: InputFile, columns: Sequence[str], after: int) -> Iterator[RawRows]:
    """Some columns of the rows with numbers above `after`.

    Raises ConfigurationError, at any batch, where the file is damaged.
    """
    with explaining(file.url), file.open() as stream:
        parquet = pq.ParquetFile(stream)
        number = 0
        for group in range(parquet.num_row_groups):
            rows = parquet.metadata.row_group(group).num_rows
            if number + rows <= after:
                number += rows
                continue
            batches = parquet.iter_batches(
                _BATCH_ROWS, row_groups=[group], columns=list(columns), use_threads=True
            )
            for batch in batches:
                numbers = np.arange(number + 1, number + 1 + batch.num_rows, dtype=np.int64)
                number += batch.num_rows
                if number > after:
                    table = pa.Table.from_batches([batch])
                    yield RawRows(table, numbers, (), number).after(after)
