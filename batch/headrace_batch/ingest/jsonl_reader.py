"""Reads events from lines of JSON, through the codec of their contract.

What the stream would refuse is refused here, for the same reason; there all problems of a row
are told, not the first alone.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterator, Sequence
from operator import attrgetter
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa

from headrace_batch.ingest.contract import Contract
from headrace_batch.ingest.input_files import InputFile, explaining
from headrace_batch.ingest.raw_rows import Problem, RawRows, RefusedRow, text_of
from headrace_schemas.columns import INT64_MAX, INT64_MIN, ColumnType
from headrace_schemas.errors import BadRecordError, ConfigurationError
from headrace_schemas.record_checks import first_problem

_BLOCK_BYTES = 8 << 20
_LONGEST_LINE_BYTES = 16 << 20
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


def read_json_lines(file: InputFile, contract: Contract, after: int) -> Iterator[RawRows]:
    """The rows with numbers above `after`, typed as the contract says.

    Raises ConfigurationError where the file can't be read, or holds a line that is too long.
    """
    reader = _LineReader(contract)
    number = 0
    with explaining(file.url), file.open() as stream:
        for block in _blocks(stream, file.url):
            lines = [line for line in block.split(b"\n") if line.strip()]
            number += len(lines)
            if number > after:
                skipped = max(0, after - (number - len(lines)))
                yield reader.rows(lines[skipped:], number - len(lines) + skipped + 1)


def first_keys(file: InputFile) -> list[str]:
    """The keys of the first line; none where it is no JSON object.

    Raises ConfigurationError where the file can't be read.
    """
    with explaining(file.url), file.open() as stream:
        lines = io.BufferedReader(stream)
        line = b"\n"
        while line and not line.strip():
            line = lines.readline(_LONGEST_LINE_BYTES).removeprefix(_BYTE_ORDER_MARK)
    try:
        return list(msgspec.json.decode(line, type=dict[str, msgspec.Raw]))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return []


def _blocks(stream: pa.NativeFile, url: str) -> Iterator[bytes]:
    """The bytes of a file, cut at ends of lines."""
    rest = b""
    first = True
    while block := stream.read(_BLOCK_BYTES):
        data = rest + (block.removeprefix(_BYTE_ORDER_MARK) if first else block)
        first = False
        whole, _, rest = data.rpartition(b"\n")
        if len(rest) > _LONGEST_LINE_BYTES:
            raise ConfigurationError(
                f"{url} has a line of more than {_LONGEST_LINE_BYTES >> 20} MiB",
                hint="JSON lines hold one event on each line",
            )
        yield whole
    yield rest


class _LineReader:
    """Turns lines into rows of one contract."""

    def __init__(self, contract: Contract) -> None:
        self._contract = contract
        self._decode = msgspec.json.Decoder(contract.codec.schema).decode
        self._columns = [
            (column, attrgetter(column.name), field.type)
            for column, field in zip(contract.columns, contract.schema, strict=True)
        ]

    def rows(self, lines: Sequence[bytes], number: int) -> RawRows:
        """The rows of some lines, the first of which has the given number."""
        events: list[Any] = []
        for line in lines:
            try:
                events.append(self._decode(line))
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
                events.append(None)
        try:
            return self._rows(lines, events, number)
        except OverflowError:
            # The decoder takes any number of digits, a column does not.
            fitting = [
                event if event is not None and self._fits(event) else None for event in events
            ]
            return self._rows(lines, fitting, number)

    def _rows(self, lines: Sequence[bytes], events: Sequence[Any], number: int) -> RawRows:
        """Rows of the events; a line is refused where its event is None."""
        kept = [position for position, event in enumerate(events) if event is not None]
        good = events if len(kept) == len(events) else [events[position] for position in kept]
        table = pa.table(
            [pa.array(map(get, good), kind) for _, get, kind in self._columns],
            schema=self._contract.schema,
        )
        refused = tuple(
            RefusedRow(number + position, self._problems(line), text_of(line.strip()))
            for position, (line, event) in enumerate(zip(lines, events, strict=True))
            if event is None
        )
        numbers = np.asarray(kept, np.int64) + number
        last = number + len(lines) - 1
        return RawRows(table, numbers, refused, last, [lines[position] for position in kept])

    def _fits(self, event: Any) -> bool:
        """Whether the integers of an event have no more than 64 bits."""
        for column, get, _ in self._columns:
            if column.type is ColumnType.INT64:
                value = get(event)
                if value is not None and not INT64_MIN <= value <= INT64_MAX:
                    return False
        return True

    def _problems(self, line: bytes) -> tuple[Problem, ...]:
        """Everything that is wrong with a line that the decoder refused."""
        contract = self._contract
        try:
            contract.codec.decode(line)
        except BadRecordError as error:
            if error.field is None:
                return (Problem(error.reason, ""),)
        record = json.loads(line)
        found = (
            first_problem(record, [column], owner=contract.name) for column in contract.columns
        )
        return tuple(Problem(one.reason, one.field or "") for one in found if one is not None)
