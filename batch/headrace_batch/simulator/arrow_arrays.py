"""Arrow arrays over numpy's memory, and zero-padded identifiers without a Python string each.

`pyarrow.array` is not used: wherever pandas is installed, it spends a second on importing it.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

# "0000" to "9999": four digits are looked up at once, which takes a third of the time.
_GROUP = 4
_GROUPS = np.array([f"{number:04}".encode() for number in range(10**_GROUP)]).view(np.uint8)
_GROUPS = _GROUPS.reshape(-1, _GROUP)


def int64_array(values: NDArray[np.int64]) -> pa.Array:
    """Integers, not copied."""
    return _numbers(pa.int64(), values)


def float64_array(values: NDArray[np.float64]) -> pa.Array:
    """Doubles, not copied."""
    return _numbers(pa.float64(), values)


def bool_array(values: NDArray[np.bool_]) -> pa.Array:
    """Truth values, packed into bits."""
    packed = np.packbits(values, bitorder="little")
    return pa.Array.from_buffers(pa.bool_(), values.size, [None, pa.py_buffer(packed)])


class Texts:
    """A small vocabulary of texts, looked up by number."""

    def __init__(self, texts: Sequence[str]) -> None:
        encoded = [text.encode() for text in texts]
        ends = np.cumsum([0, *map(len, encoded)]).astype(np.int32)
        buffers = [None, pa.py_buffer(ends), pa.py_buffer(b"".join(encoded))]
        self._texts = pa.Array.from_buffers(pa.string(), len(encoded), buffers)

    def take(self, numbers: NDArray[np.int8]) -> pa.Array:
        """The texts at `numbers`, in their order."""
        return self._texts.take(_numbers(pa.int8(), numbers))


class NumberedIds:
    """The identifiers of a population: a prefix and the number in a fixed width of digits."""

    def __init__(self, prefix: str, size: int, *, digits: int) -> None:
        """Numbers run from 0 to below `size`; `digits` is the least width."""
        ids = _ids(prefix, np.arange(size), max(digits, len(str(size - 1))))
        # One value of several bytes is gathered faster than a row of single ones.
        self._ids = ids.view(f"V{ids.shape[1]}").ravel()

    def take(self, numbers: NDArray[np.int32]) -> pa.Array:
        """The identifiers of `numbers`, in their order."""
        return _strings(self._ids[numbers], self._ids.itemsize)


def consecutive_ids(prefix: str, first: int, count: int, *, digits: int) -> pa.Array:
    """The identifiers numbered from `first` to below `first + count`, of equal width."""
    ids = _ids(prefix, np.arange(first, first + count), digits)
    return _strings(ids, ids.shape[1])


def _ids(prefix: str, numbers: NDArray[np.int64], digits: int) -> NDArray[np.uint8]:
    """One row of characters for each number."""
    width = len(prefix) + digits
    ids = np.empty((numbers.size, width), np.uint8)
    rest = numbers
    for end in range(width, len(prefix), -_GROUP):
        higher = rest // len(_GROUPS)
        group = _GROUPS[rest - higher * len(_GROUPS)]
        begin = max(end - _GROUP, len(prefix))
        ids[:, begin:end] = group[:, begin - end :]
        rest = higher
    ids[:, : len(prefix)] = np.frombuffer(prefix.encode(), np.uint8)
    return ids


def _numbers(kind: pa.DataType, values: NDArray[np.generic]) -> pa.Array:
    buffer = pa.py_buffer(np.ascontiguousarray(values))
    return pa.Array.from_buffers(kind, values.size, [None, buffer])


def _strings(text: NDArray[np.generic], width: int) -> pa.Array:
    """Strings of equal width over the bytes of `text`, which are not copied."""
    ends = np.arange(0, (text.shape[0] + 1) * width, width, dtype=np.int32)
    buffers = [None, pa.py_buffer(ends), pa.py_buffer(text)]
    return pa.Array.from_buffers(pa.string(), text.shape[0], buffers)
