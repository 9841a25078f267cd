"""Numbers packed one after the other: read without making an object of each.

The first byte is the kind of number, as Python's `memoryview` names it, then come the numbers,
least byte first. Integers are as narrow as they can be.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from headrace_schemas.columns import INT64_MAX, INT64_MIN

#: Numbers, packed or not.
Numbers: TypeAlias = Sequence[Any]
Ints: TypeAlias = NDArray[np.int64]

_UNSIGNED = ((1 << 8, b"B", "B"), (1 << 16, b"H", "H"), (1 << 32, b"I", "I"))
_SIGNED = ((1 << 7, b"b", "b"), (1 << 15, b"h", "h"), (1 << 31, b"i", "i"))
_LONG = "q"
_DOUBLE = "d"
_TRUTH = "?"
_INTEGERS = {ord(code): np.dtype(code).newbyteorder("<") for code in "BHIbhiq?"}


def pack_integers(values: Numbers) -> bytes:
    """Integers of up to 64 bits."""
    if not values:
        return b"B"
    return _packed(values, min(values), max(values))


def _packed(values: Numbers, least: int, greatest: int) -> bytes:
    """Integers between two of them."""
    narrow = _UNSIGNED if least >= 0 else _SIGNED
    for limit, kind, code in narrow:
        if -limit <= least and greatest < limit:
            return kind + array(code, values).tobytes()
    return _LONG.encode() + array(_LONG, values).tobytes()


def pack_column(values: Numbers) -> Any:
    """Values of one type: packed if they are numbers or truths without a null, else as they are."""
    kinds = set(map(type, values))
    if kinds == {int}:
        least, greatest = min(values), max(values)
        if least >= INT64_MIN and greatest <= INT64_MAX:
            return _packed(values, least, greatest)
    if kinds == {float}:
        return _DOUBLE.encode() + array(_DOUBLE, values).tobytes()
    if kinds == {bool}:
        return _TRUTH.encode() + bytes(values)
    return list(values)


def unpack_column(data: Any) -> Numbers:
    """The values that were packed, or given as they are."""
    if isinstance(data, bytes):
        # The processors that this runs on keep the least byte first themselves.
        return memoryview(data)[1:].cast(chr(data[0]))  # type: ignore[call-overload,no-any-return]
    values: Numbers = data
    return values


def are_integers(column: Sequence[Any]) -> bool:
    """Whether all of some values are packed integers or truths."""
    kinds = {data[0] if isinstance(data, bytes) else None for data in column}
    return kinds <= _INTEGERS.keys()


def joined_integers(packed: Sequence[bytes]) -> Ints:
    """Packed integers, one after the other."""
    kinds = {data[0] for data in packed}
    if len(kinds) == 1:
        # Most are alike, and to look at each as an array would take longer than all the rest.
        found = np.frombuffer(b"".join([data[1:] for data in packed]), _INTEGERS[kinds.pop()])
        return found.astype(np.int64)
    arrays = [np.frombuffer(data, _INTEGERS[data[0]], offset=1) for data in packed]
    return np.concatenate(arrays, dtype=np.int64)


def how_many(packed: Sequence[bytes]) -> Ints:
    """How many integers are in each."""
    sizes = [_INTEGERS[data[0]].itemsize for data in packed]
    found: Ints = (np.array(list(map(len, packed))) - 1) // np.array(sizes)
    return found
