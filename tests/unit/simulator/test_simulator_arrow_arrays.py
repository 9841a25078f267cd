"""Arrow arrays that are built from numpy's memory."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace_batch.simulator.arrow_arrays import (
    NumberedIds,
    Texts,
    bool_array,
    consecutive_ids,
    float64_array,
    int64_array,
)


@given(
    first=st.integers(0, 10**12 - 1_000),
    count=st.integers(0, 200),
    digits=st.sampled_from([12, 13, 15]),
)
def test_consecutive_identifiers_are_prefix_and_padded_number(
    first: int, count: int, digits: int
) -> None:
    ids = consecutive_ids("tx-", first, count, digits=digits)
    ids.validate(full=True)
    assert ids.to_pylist() == [f"tx-{number:0{digits}}" for number in range(first, first + count)]


@pytest.mark.parametrize(("size", "width"), [(1, 6), (1_000_000, 6), (1_000_001, 7)])
def test_identifiers_of_a_population_have_one_width_that_fits_the_greatest(
    size: int, width: int
) -> None:
    ids = NumberedIds("card-", size, digits=6).take(np.array([size - 1, 0, 0], np.int32))
    ids.validate(full=True)
    zero = "card-" + "0" * width
    assert ids.to_pylist() == [f"card-{size - 1:0{width}}", zero, zero]


def test_texts_are_looked_up_by_number() -> None:
    taken = Texts(["chip", "", "Zürich"]).take(np.array([2, 0, 1, 2], np.int8))
    taken.validate(full=True)
    assert taken.to_pylist() == ["Zürich", "chip", "", "Zürich"]


def test_numbers_and_truth_values_keep_their_values() -> None:
    integers = np.array([-(2**63), 0, 2**63 - 1])
    every_other = np.arange(10, dtype=np.float64)[::2]
    truths = np.arange(19) % 3 == 0
    assert int64_array(integers).equals(pa.array(integers))
    assert float64_array(every_other).equals(pa.array(every_other.copy()))
    assert bool_array(truths).equals(pa.array(truths))
