"""Tables divided into parts that are small enough for memory, kept in a file in between."""

from __future__ import annotations

import os
import tempfile
from collections import defaultdict
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from headrace_features.kernel.sorting import stable_order

if TYPE_CHECKING:
    from headrace_features.kernel.arrays import Ints

#: Events and rows that are in memory at once, where no single entity has more. With them a process
#: stays below three gigabytes, however many there are.
PART_ROWS = 1_000_000
#: Rows that are divided at once. Of fewer each of many parts would get next to none, and what is
#: written costs as much as a whole batch however little is in it.
_DIVIDED_ROWS = 1 << 18
_PRIME = 0x9E3779B97F4A7C15
_MIX = np.uint64(0xD6E8FEB86659FD93)
_HALF = np.uint64(32)


class Spill(AbstractContextManager["Spill"]):
    """Rows divided over numbered parts, in the order in which they were added.

    One part is simply held in memory. Several share a file that has no name, so that nothing is
    left behind however the process ends.
    """

    def __init__(self, parts: int, schema: pa.Schema, folder: Path) -> None:
        self.parts = parts
        self._schema = schema
        self._held: list[pa.Table] = []
        self._part: list[Ints] = []
        self._places: dict[int, list[tuple[int, int]]] = defaultdict(list)
        self._end = 0
        self._file = None
        if parts > 1:
            folder.mkdir(parents=True, exist_ok=True)
            self._file = tempfile.TemporaryFile(dir=folder, buffering=0)  # noqa: SIM115

    def __exit__(self, *_: object) -> None:
        if self._file is not None:
            self._file.close()

    def add(self, table: pa.Table, part: Ints) -> None:
        """Put each row into the part that stands at its position."""
        self._held.append(table)
        if self._file is None:
            return
        self._part.append(part)
        if sum(map(len, self._part)) >= _DIVIDED_ROWS:
            self._divide()

    def _divide(self) -> None:
        """Write what is held, each row to its part."""
        if self._file is None or not self._held:
            return
        part = np.concatenate(self._part)
        together = pa.concat_tables(self._held).combine_chunks()
        divided = together.take(pa.array(stable_order(part))).combine_chunks()
        self._held, self._part = [], []
        bounds = np.concatenate([[0], np.cumsum(np.bincount(part, minlength=self.parts))])
        for number in np.flatnonzero(np.diff(bounds)).tolist():
            start, stop = int(bounds[number]), int(bounds[number + 1])
            for batch in divided.slice(start, stop - start).to_batches():
                data = memoryview(batch.serialize())
                self._places[number].append((self._end, len(data)))
                self._end += len(data)
                while data:
                    # On a disk that is nearly full some of it fits, and the rest is an error.
                    data = data[self._file.write(data) :]

    def take(self, number: int) -> pa.Table:
        """All rows of a part, which is then forgotten."""
        if self._file is None:
            held, self._held = self._held, []
            return pa.concat_tables([self._schema.empty_table(), *held])
        self._divide()
        batches = [
            pa.ipc.read_record_batch(
                pa.py_buffer(os.pread(self._file.fileno(), size, place)), self._schema
            )
            for place, size in self._places.pop(number, ())
        ]
        return pa.Table.from_batches(batches, self._schema)


@dataclass(frozen=True, slots=True)
class Workspace:
    """About how many rows may be in memory at once, and in which folder the others wait."""

    rows: int
    folder: Path

    def parts(self, rows: int) -> int:
        """How many parts so many rows make; at least one."""
        return max(1, -(-rows // self.rows))

    def spill(self, parts: int, schema: pa.Schema) -> Spill:
        """A place for rows in so many parts."""
        return Spill(parts, schema, self.folder)


def workspace_of(home: Path) -> Workspace:
    """The one of a process, below the folder for all data."""
    return Workspace(PART_ROWS, home / "scratch")


def entity_parts(keys: pa.ChunkedArray, parts: int) -> Ints:
    """The part that each key belongs to, evenly spread and the same in every table.

    Args:
        keys: strings or integers without nulls.
        parts: how many parts there are.
    """
    if parts == 1:
        return np.zeros(len(keys), np.int64)
    return by_distinct(keys, lambda distinct: _hashed(distinct, parts))


def by_distinct(keys: pa.ChunkedArray, part_of: Callable[[pa.Array], Ints]) -> Ints:
    """The part of each key, where that of each distinct one is looked for once."""
    if not len(keys):
        return np.zeros(0, np.int64)
    encoded = keys.dictionary_encode().unify_dictionaries()
    parts = part_of(encoded.chunk(0).dictionary)
    return np.concatenate([parts[chunk.indices.to_numpy()] for chunk in encoded.chunks])


def _hashed(distinct: pa.Array, parts: int) -> Ints:
    if pa.types.is_integer(distinct.type):
        hashes = distinct.to_numpy().view(np.uint64) * np.uint64(_PRIME)
    else:
        hashes = _hash_bytes(distinct.cast(pa.large_binary()))
    hashes ^= hashes >> _HALF
    hashes *= _MIX
    hashes ^= hashes >> _HALF
    found: Ints = (hashes % np.uint64(parts)).astype(np.int64)
    return found


def _hash_bytes(values: pa.LargeBinaryArray) -> NDArray[np.uint64]:
    """For each value the sum of its bytes times the powers of a prime, modulo 2^64."""
    _, offsets, data = values.buffers()
    bound = np.frombuffer(offsets, np.int64, len(values) + 1, values.offset * 8)
    base = int(bound[0])
    content = np.frombuffer(data or b"", np.uint8, int(bound[-1]) - base, base if data else 0)
    bound = bound - base
    size = np.diff(bound)
    position = np.arange(len(content)) - np.repeat(bound[:-1], size)
    powers = np.cumprod(np.full(int(size.max(initial=0)) + 1, _PRIME, np.uint64), dtype=np.uint64)
    # One more than the byte: a trailing zero byte makes another value, too.
    terms = (content.astype(np.uint64) + np.uint64(1)) * powers[position]
    running: NDArray[np.uint64] = np.zeros(len(terms) + 1, np.uint64)
    np.cumsum(terms, out=running[1:])
    hashes: NDArray[np.uint64] = running[bound[1:]] - running[bound[:-1]]
    return hashes
