"""Entities divided by the order of their keys: nothing is in two parts, and parts are even."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace_batch.key_ranges import KeyRanges
from headrace_features.online.served import entity_key

COUNTED = st.lists(st.tuples(st.text(max_size=3), st.integers(1, 40)), max_size=60)


def ranges_of(counted: list[tuple[str, int]], rows: int) -> KeyRanges:
    keys = pa.chunked_array([[key for key, _ in counted]], pa.string())
    return KeyRanges.of([(keys, np.array([count for _, count in counted], np.int64))], rows)


@given(counted=COUNTED, rows=st.integers(1, 200))
def test_parts_follow_the_order_in_which_stores_keep_entities(
    counted: list[tuple[str, int]], rows: int
) -> None:
    ranges = ranges_of(counted, rows)
    keys = sorted({key for key, _ in counted}, key=entity_key)
    parts = ranges.of_keys(pa.chunked_array([keys], pa.string())).tolist()
    assert parts == sorted(parts)
    assert all(0 <= part < ranges.parts for part in parts)
    for key, part in zip(keys, parts, strict=True):
        # Wherever else it comes.
        assert ranges.of_keys(pa.chunked_array([[key, key]], pa.string())).tolist() == [part, part]


@pytest.mark.parametrize(
    "keys", [pa.array([f"card-{number % 997:06d}" for number in range(40_000)]), None]
)
def test_parts_have_about_as_many_rows_each(keys: pa.Array | None) -> None:
    keys = pa.array(np.arange(40_000) * 37 % 9_001) if keys is None else keys
    counts = np.arange(40_000) % 7
    chunks = [
        (pa.chunked_array([keys[i : i + 1_000]]), counts[i : i + 1_000])
        for i in range(0, 40_000, 1_000)
    ]
    ranges = KeyRanges.of(chunks, 15_000)
    assert ranges.parts == -(-counts.sum() // 15_000)
    sizes = np.bincount(ranges.of_keys(pa.chunked_array([keys])), weights=counts)
    assert sizes.max() < 1.2 * 15_000


def test_an_entity_with_much_has_a_part_of_its_own() -> None:
    counted = [("a", 10), ("much", 400), ("z", 10), *((f"n{n}", 5) for n in range(20))]
    ranges = ranges_of(counted, 100)
    a, much, z, *_ = ranges.of_keys(pa.chunked_array([[key for key, _ in counted]], pa.string()))
    assert a < much < z


def test_nothing_is_one_part() -> None:
    assert ranges_of([], 10).parts == 1
