"""How far distributions are apart."""

from __future__ import annotations

import math

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace_batch.quality.distribution import Bins, bins_of, stability_index

NUMBERS = st.lists(st.none() | st.integers(-(10**6), 10**6), max_size=60)
TEXTS = st.lists(st.none() | st.sampled_from([f"value {n}" for n in range(60)]), max_size=60)


def chunked(values: list[int | None] | list[str | None], kind: pa.DataType) -> pa.ChunkedArray:
    half = len(values) // 2
    return pa.chunked_array([pa.array(values[:half], kind), pa.array(values[half:], kind)])


def test_the_index_is_that_of_its_formula() -> None:
    baseline, found = (0.5, 0.3, 0.2), (40, 30, 30)
    expected = (0.4 - 0.5) * math.log(0.4 / 0.5) + (0.3 - 0.2) * math.log(0.3 / 0.2)
    assert stability_index(found, baseline) == pytest.approx(expected, rel=1e-12)


def test_an_empty_bin_counts_as_a_share_of_one_in_ten_thousand() -> None:
    moved = stability_index((100, 0), (0.0, 1.0))
    assert moved == pytest.approx(2 * (1 - 1e-4) * math.log(1 / 1e-4), rel=1e-12)
    assert stability_index((0, 0), (0.5, 0.5)) > 1


def test_numbers_are_divided_by_the_deciles_of_the_baseline() -> None:
    bins = bins_of(pa.chunked_array([pa.array(range(1000))]))
    assert bins.edges is not None
    assert len(bins.edges) == 9
    counts = bins.counts(pa.chunked_array([pa.array([*range(1000), None])]))
    assert counts[-1] == 1
    assert set(counts[:-1].tolist()) <= {99, 100, 101}


@pytest.mark.parametrize("most", [0, 7])
def test_a_shift_away_from_a_value_that_most_rows_have_is_seen(most: int) -> None:
    usual = pa.chunked_array([pa.array([most] * 920 + list(range(80)))])
    bins = bins_of(usual)
    counts = bins.counts(usual)
    for moved in (1_000_000, most + 1, -5):
        shifted = bins.counts(pa.chunked_array([pa.array([moved] * 1000)]))
        assert stability_index(shifted, tuple(counts / counts.sum())) > 1


def test_values_beyond_the_frequent_ones_share_a_bin() -> None:
    many = [f"v{number}" for number in range(60) for _ in range(60 - number)]
    bins = bins_of(pa.chunked_array([pa.array(many)]))
    assert bins.values == tuple(f"v{number}" for number in range(50))
    counts = bins.counts(pa.chunked_array([pa.array(["v0", "v59", "new", None, "v0"])]))
    assert counts[0] == 2
    assert counts[-2:].tolist() == [2, 1]


@given(NUMBERS, NUMBERS)
def test_every_number_is_in_a_bin_and_the_same_numbers_do_not_drift(
    baseline: list[int | None], others: list[int | None]
) -> None:
    _check(pa.int64(), baseline, others)


@given(TEXTS, TEXTS)
def test_every_text_is_in_a_bin_and_the_same_texts_do_not_drift(
    baseline: list[str | None], others: list[str | None]
) -> None:
    _check(pa.string(), baseline, others)


def _check(
    kind: pa.DataType,
    baseline: list[int | None] | list[str | None],
    others: list[int | None] | list[str | None],
) -> None:
    bins: Bins = bins_of(chunked(baseline, kind))
    counts = bins.counts(chunked(baseline, kind))
    assert counts.sum() == len(baseline)
    assert bins.counts(chunked(others, kind)).sum() == len(others)
    if baseline:
        shares = counts / counts.sum()
        assert stability_index(counts, tuple(shares)) == 0
        assert stability_index(bins.counts(chunked(others, kind)), tuple(shares)) >= 0
        assert np.isfinite(stability_index(np.zeros(bins.count, np.int64), tuple(shares)))


def test_booleans_have_two_bins_of_their_own() -> None:
    bins = bins_of(pa.chunked_array([pa.array([True, False, True, None])]))
    assert bins.values == ("true", "false")
