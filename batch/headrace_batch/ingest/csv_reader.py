"""Reads the rows of a CSV file as text, in bounded batches; a row of the wrong width is refused.

Comma, double quotes, UTF-8, a header. An empty cell is null, an empty pair of quotes is empty
text: a word such as NA is text, since it may be a country.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv as pa_csv

from headrace_batch.ingest.input_files import InputFile, explaining
from headrace_batch.ingest.raw_rows import Problem, RawRows, RefusedRow
from headrace_schemas.errors import ConfigurationError
from headrace_schemas.reasons import Reason

_BLOCK_BYTES = 8 << 20


def csv_schema(file: InputFile) -> pa.Schema:
    """The columns of a file, all binary; none where the file is empty."""
    with explaining(file.url), file.open() as stream:
        header = _header(stream)
    twice = sorted({name for name in header if header.count(name) > 1})
    if twice:
        raise ConfigurationError(
            f"{file.url} has several columns named {', '.join(twice)}", hint="rename them"
        )
    return pa.schema([(name, pa.binary()) for name in header])


def read_csv(file: InputFile, columns: Sequence[str], after: int) -> Iterator[RawRows]:
    """Some columns, as binary text, of the rows with numbers above `after`.

    Without columns, which means that the file is empty, there are no rows. Raises
    ConfigurationError, at any batch, where the file can't be read on.
    """
    if columns:
        with explaining(file.url), file.open() as stream:
            yield from _batches(stream, columns, after)


def _batches(stream: pa.NativeFile, columns: Sequence[str], after: int) -> Iterator[RawRows]:
    # The parser is ahead of the batches, so rows wait here until their batch comes.
    waiting: list[RefusedRow] = []

    def refuse(row: Any) -> str:
        # The parser counts the header as the first row.
        waiting.append(RefusedRow(row.number - 1, (Problem(Reason.UNDECODABLE, ""),), row.text))
        return "skip"

    reader = pa_csv.open_csv(
        stream,
        read_options=pa_csv.ReadOptions(use_threads=False, block_size=_BLOCK_BYTES),
        parse_options=pa_csv.ParseOptions(newlines_in_values=True, invalid_row_handler=refuse),
        convert_options=pa_csv.ConvertOptions(
            check_utf8=False,
            column_types={name: pa.binary() for name in columns},
            null_values=[""],
            strings_can_be_null=True,
            quoted_strings_can_be_null=False,
            include_columns=list(columns),
        ),
    )
    last = 0
    for batch in reader:
        numbers, refused = _numbered(batch.num_rows, last, waiting)
        last += batch.num_rows + len(refused)
        del waiting[: len(refused)]
        if last > after:
            yield RawRows(pa.Table.from_batches([batch]), numbers, refused, last).after(after)
    if waiting and waiting[-1].number > after:
        none = pa.table({name: pa.array([], pa.binary()) for name in columns})
        rest = RawRows(none, np.empty(0, np.int64), tuple(waiting), waiting[-1].number)
        yield rest.after(after)


def _numbered(
    rows: int, last: int, waiting: Sequence[RefusedRow]
) -> tuple[np.ndarray[Any, np.dtype[np.int64]], tuple[RefusedRow, ...]]:
    """The numbers of `rows` good rows after number `last`, and the refused ones among them."""
    refused = 0
    while refused < len(waiting) and waiting[refused].number <= last + rows + refused + 1:
        refused += 1
    taken = tuple(waiting[:refused])
    numbers = np.arange(last + 1, last + 1 + rows + refused, dtype=np.int64)
    return np.setdiff1d(numbers, [row.number for row in taken], assume_unique=True), taken


def _header(stream: pa.NativeFile) -> list[str]:
    """The names of the columns, from the first line alone: what follows may be anything."""
    first = b""
    for line in io.BufferedReader(stream):
        first += line
        # A line end within quotes is part of a name.
        if first.strip() and first.count(b'"') % 2 == 0:
            break
        if len(first) > _BLOCK_BYTES:
            break
    try:
        reader = pa_csv.open_csv(
            pa.BufferReader(first),
            parse_options=pa_csv.ParseOptions(newlines_in_values=True),
        )
    except pa.ArrowInvalid as error:
        # What Arrow calls empty: no bytes, or nothing but line ends.
        if "Empty CSV file" in str(error):
            return []
        raise
    return list(reader.schema.names)
