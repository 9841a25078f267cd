"""Tables divided into parts lose nothing, and an entity is never divided."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace_batch.local_spill import Workspace, entity_parts

TEXTS = st.lists(st.text(max_size=6), max_size=60)


@pytest.mark.parametrize("parts", [1, 3, 40])
def test_every_row_comes_back_in_its_part_in_the_order_it_was_added(
    parts: int, tmp_path: Path
) -> None:
    table = pa.table({"row": np.arange(1000), "text": pa.array([None, "ß", ""] * 333 + ["x"])})
    part = np.arange(1000) % parts
    with Workspace(10, tmp_path).spill(parts, table.schema) as spill:
        spill.add(table.slice(0, 600), part[:600])
        spill.add(table.slice(600), part[600:])
        for number in range(parts):
            assert spill.take(number).equals(table.take(np.flatnonzero(part == number)))


def test_a_part_without_rows_is_an_empty_table(tmp_path: Path) -> None:
    schema = pa.schema([("row", pa.int64())])
    with Workspace(10, tmp_path).spill(2, schema) as spill:
        assert spill.take(1).equals(schema.empty_table())


def test_the_folder_of_a_spill_shows_no_file(tmp_path: Path) -> None:
    table = pa.table({"row": np.arange(10)})
    with Workspace(10, tmp_path).spill(2, table.schema) as spill:
        spill.add(table, np.arange(10) % 2)
        assert list(tmp_path.iterdir()) == []


@given(keys=TEXTS, parts=st.integers(1, 9))
def test_equal_keys_are_in_the_same_part_in_every_table(keys: list[str], parts: int) -> None:
    together = entity_parts(pa.chunked_array([keys], pa.string()), parts)
    apart = [int(entity_parts(pa.chunked_array([[key]], pa.string()), parts)[0]) for key in keys]
    assert together.tolist() == apart
    assert all(0 <= part < parts for part in apart)


@pytest.mark.parametrize(
    "keys",
    [
        pa.array([f"card-{number:06d}" for number in range(20_000)]),
        pa.array(np.arange(20_000) * 1000),
    ],
)
def test_keys_are_spread_evenly(keys: pa.Array) -> None:
    sizes = np.bincount(entity_parts(pa.chunked_array([keys]), 8), minlength=8)
    assert sizes.min() > 2200
    assert sizes.max() < 2800
