"""Columns of Arrow as rows of shards: fixed-width, packed by type, nulls in a mask."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as pt

from headrace_batch.staging.times import in_ms
from headrace_schemas.errors import BadRecordError
from headrace_schemas.reasons import Reason
from headrace_shards.layout import MASK

if TYPE_CHECKING:
    from headrace_shards.layout import Layout
    from headrace_shards.mds import Rows

Array = np.ndarray[Any, Any]
#: Rows that are packed at once: they stay in a processor's cache.
_PIECE = 1 << 12
_MOST_INT = np.uint64(2**63 - 1)


@dataclass(frozen=True)
class Packing:
    """How the rows of a set are packed.

    Attributes:
        layout: of a row.
        dictionaries: by column of texts the text of each code. A column that has none, of a format
            that keeps texts as they are, has hashes in its place, by which rows are compared.
    """

    layout: Layout
    dictionaries: Mapping[str, tuple[str, ...]]

    def rows(self, table: pa.Table) -> Rows:
        """Rows of a shard, in the order of a table that has the columns of the layout.

        A null is 0, and its bit of the mask is set. A number that its part can't hold exactly is
        rounded to the nearest one that it can.

        Raises:
            BadRecordError: a text isn't in its dictionary, or a number is beyond its part's.
        """
        columns = {name: _array(table.column(name)) for name in self.layout.places}
        values = {name: self._values(name, column) for name, column in columns.items()}
        out = np.zeros(len(table), self.layout.dtype)
        for begin in range(0, len(table), _PIECE):
            piece = out[begin : begin + _PIECE]
            for part in self.layout.parts:
                for place, name in enumerate(part.columns):
                    target = piece[part.name] if part.is_scalar else piece[part.name][:, place]
                    target[...] = values[name][begin : begin + _PIECE]
        for bit, name in enumerate(self.layout.nullable):
            if columns[name].null_count:
                is_null = columns[name].is_null().to_numpy(zero_copy_only=False)
                out[MASK][:, bit >> 3] |= is_null.astype(np.uint8) << np.uint8(bit & 7)
        return out

    def _values(self, name: str, column: pa.Array) -> Array:
        if name in self.dictionaries:
            codes = pc.index_in(column, value_set=self._value_sets[name])
            unknown = pc.and_(codes.is_null(), column.is_valid())
            if pc.any(unknown).as_py():
                text = column.filter(unknown)[0].as_py()
                raise BadRecordError(
                    Reason.WRONG_TYPE,
                    f"{text!r} is not in the dictionary of the column {name!r}",
                    field=name,
                    hint="the data changed while the set was staged: stage it again",
                )
            return _filled(codes)
        if pt.is_string(column.type):
            return _hashes(column)
        dtype = self.layout.part(self.layout.places[name][0]).dtype
        values = _filled(column)
        if values.dtype == np.uint64 and np.dtype(dtype).kind == "i" and (values > _MOST_INT).any():
            raise BadRecordError(
                Reason.WRONG_TYPE,
                f"{values.max()} in the column {name!r} is beyond {dtype}",
                field=name,
                hint=f"leave it out with --leave-out {name}, or convert it",
            )
        with np.errstate(over="ignore"):
            found = values.astype(dtype, copy=False)
        if found.dtype.kind == "f" and values.dtype.kind == "f":
            beyond = np.isinf(found) & np.isfinite(values)
            if beyond.any():
                raise BadRecordError(
                    Reason.WRONG_TYPE,
                    f"{values[beyond][0]} in the column {name!r} is beyond {dtype}",
                    field=name,
                    hint="stage the set with --precision float64",
                )
        return found

    @cached_property
    def _value_sets(self) -> dict[str, pa.Array]:
        return {name: pa.array(texts, pa.string()) for name, texts in self.dictionaries.items()}


def _array(column: pa.ChunkedArray) -> pa.Array:
    """A column in one piece: numbers, truth values as numbers, or texts."""
    kind = column.type
    if pt.is_dictionary(kind):
        column = column.cast(kind.value_type)
    if pt.is_large_string(column.type):
        column = column.cast(pa.string())
    elif pt.is_timestamp(column.type):
        column = in_ms(column)
    elif pt.is_boolean(column.type):
        column = column.cast(pa.uint8())
    elif pt.is_float16(column.type):
        column = column.cast(pa.float32())
    found = column.combine_chunks()
    return found if isinstance(found, pa.Array) else pa.concat_arrays(found.chunks)


def _hashes(texts: pa.Array) -> Array:
    """A number for each text; 0 of a null."""
    encoded = texts.dictionary_encode()
    hashes = [zlib.crc32(text.encode()) for text in encoded.dictionary.to_pylist()]
    # One more for nulls, which have no index.
    known = np.array([*hashes, 0], np.uint32).astype(np.int32)
    found: Array = known[pc.fill_null(encoded.indices, len(hashes)).to_numpy()]
    return found


def _filled(column: pa.Array) -> Array:
    found: Array = pc.fill_null(column, pa.scalar(0, column.type)).to_numpy(zero_copy_only=False)
    return found
