"""64-bit hashes of dedup keys, computed a column at a time.

A hash only says which keys may be equal: whoever uses it compares the keys themselves where two
hashes are. So its quality is a matter of speed, never of correctness.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa

Hashes = npt.NDArray[np.uint64]
Integers = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]

_WORD = 8
_ALL_ONES = np.uint64(0xFFFFFFFFFFFFFFFF)
_SEED = np.uint64(0x9E3779B97F4A7C15)
_FIRST = np.uint64(0xBF58476D1CE4E5B9)
_SECOND = np.uint64(0x94D049BB133111EB)


def key_hashes(keys: pa.Array) -> Hashes:
    """One hash for each key of a string column without nulls."""
    _, offsets_buffer, data = keys.buffers()
    offsets = np.frombuffer(offsets_buffer, np.int32)[keys.offset : keys.offset + len(keys) + 1]
    starts = offsets[:-1].astype(np.int64)
    lengths = np.diff(offsets).astype(np.int64)
    hashes: Hashes = _mixed(lengths.astype(np.uint64) + _SEED)
    if data is None:
        return hashes
    # Padded, so that the last word of the last key can be read as a whole one.
    raw = np.concatenate([np.frombuffer(data, np.uint8)[: offsets[-1]], np.zeros(_WORD, np.uint8)])
    words = np.lib.stride_tricks.as_strided(
        raw[:_WORD].view(np.uint64), (raw.size - _WORD + 1,), (1,), writeable=False
    )
    at = 0
    while (rows := np.flatnonzero(lengths > at)).size:
        word = words[starts[rows] + at]
        # Bytes that belong to the next key are cleared: the low ones come first in memory.
        foreign = np.maximum(_WORD - (lengths[rows] - at), 0).astype(np.uint64)
        word &= _ALL_ONES >> (foreign * np.uint64(8))
        hashes[rows] = _mixed(hashes[rows] ^ word)
        at += _WORD
    return hashes


def contains(ascending: Hashes | Integers, asked: Hashes | Integers) -> Bools:
    """Which of some numbers are among others, which are in ascending order."""
    if not ascending.size:
        return np.zeros(asked.size, np.bool_)
    place = np.minimum(np.searchsorted(ascending, asked), ascending.size - 1)
    return np.asarray(ascending[place] == asked, np.bool_)


def _mixed(values: Hashes) -> Hashes:
    """The finaliser of SplitMix64: a bijection in which every bit depends on every bit."""
    values = (values ^ (values >> np.uint64(30))) * _FIRST
    values = (values ^ (values >> np.uint64(27))) * _SECOND
    return values ^ (values >> np.uint64(31))
