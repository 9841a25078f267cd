"""Approximate aggregates: one estimate for one set of values, and the bound that is promised."""

from __future__ import annotations

import random
from bisect import insort
from fractions import Fraction

import datasketches
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headrace_features import ApproxDistinct
from headrace_features.partials.blocks import EventBlock
from headrace_features.partials.kept import Sketch, ThetaPartial
from headrace_features.partials.plan import plan_of
from headrace_features.sketches.quantiles import bucket_middle, bucket_of, buckets_of, rank_of
from headrace_features.sketches.theta import LG_K, K, estimate_of, hash_of, item_of
from histories import view_with

BESIDE_POWERS = [
    sign * (2**power + beside) for power in range(63) for beside in (-1, 0, 1) for sign in (1, -1)
]
INT64 = st.one_of(
    st.integers(-300, 300),
    st.integers(-(2**63), 2**63 - 1),
    st.sampled_from(BESIDE_POWERS),
)
PARTIAL = ThetaPartial(0)
(FEATURE,) = view_with(ApproxDistinct("amount")).features


def estimated(values: list[str | int]) -> float:
    """The library's own estimate of one sketch, without any union."""
    sketch = datasketches.update_theta_sketch(LG_K)
    for value in values:
        sketch.update(item_of(value))
    return float(sketch.get_estimate())


def sketch_of(values: list[str | int]) -> Sketch:
    """Values taken in in small parts that are merged."""
    if len(values) > 100:
        half = len(values) // 3
        return PARTIAL.combine([sketch_of(values[:half]), sketch_of(values[half:])])
    block = EventBlock([0] * len(values), [b""] * len(values), None, [[None, *values, *values]])
    return PARTIAL.fold(block, 1, len(values) + 1)


@pytest.mark.parametrize("count", [0, 1, 17, K - 1, K, K + 1, 2 * K - 1, 3 * K])
def test_a_theta_sketch_equals_the_library_s_in_any_order_and_split(count: int) -> None:
    values: list[str | int] = [number * 7 - 1_000 for number in range(count)]
    expected = estimate_of(values)
    assert PARTIAL.finalize(sketch_of(values), FEATURE) == expected
    shuffled = random.Random(count).sample(values, count)
    assert estimate_of(shuffled) == expected
    whole = sketch_of(shuffled)
    assert whole == sketch_of(values)
    for at in (0, 1, count // 3, count):
        left, right = sketch_of(shuffled[:at]), sketch_of(shuffled[at:])
        assert PARTIAL.combine([left, right]) == PARTIAL.combine([right, left]) == whole
        # Values on both sides count once.
        assert PARTIAL.combine([whole, left]) == whole


def test_a_full_sketch_takes_values_in_one_by_one_as_it_merges_them() -> None:
    values: list[str | int] = [f"value {number}" for number in range(K + 200)]
    state = sketch_of(values[:K])
    ordered = sorted(map(hash_of, values[:K]))
    for value in values[K:]:
        state = PARTIAL.combine([state, sketch_of([value])])
        insort(ordered, hash_of(value))
        assert state == Sketch(ordered[K], frozenset(ordered[:K]))
    assert state == sketch_of(values)
    assert PARTIAL.finalize(state, FEATURE) == estimate_of(values)


def test_a_theta_sketch_is_exact_up_to_its_size_and_then_within_its_error() -> None:
    for count in (1, 100, K):
        assert estimate_of(range(count)) == count
    for count in (K + 1, 20_000):
        assert abs(estimate_of(range(count)) / count - 1) < 0.05


def test_the_hash_of_a_value_is_that_by_which_the_library_orders_it() -> None:
    values: list[str | int] = ["", "DE", "ß", "日本", "s", 0, -1, 2**63 - 1, -(2**63)]
    assert len({hash_of(value) for value in values}) == len(values)
    sketch = datasketches.update_theta_sketch(LG_K)
    for value in values:
        sketch.update(item_of(value))
    assert set(sketch) == {hash_of(value) for value in values}


def test_the_empty_string_is_a_value_like_any_other() -> None:
    assert estimate_of([""]) == 1.0
    assert estimate_of(["", "a", ""]) == 2.0
    assert PARTIAL.finalize(sketch_of(["", "a", ""]), FEATURE) == 2.0
    # The library by itself would ignore it.
    assert estimated(["x"]) == 1.0
    bare = datasketches.update_theta_sketch(LG_K)
    bare.update("")
    assert bare.get_estimate() == 0.0


def test_integers_and_texts_that_look_alike_are_different_values() -> None:
    assert estimate_of(["1", 1, "s1", "-1", -1]) == 5.0


def test_truth_values_are_counted_as_zero_and_one() -> None:
    assert [hash_of(flag) for flag in (True, False)] == [hash_of(1), hash_of(0)]


@given(value=INT64)
@settings(deadline=None)
def test_the_value_reported_for_a_bucket_is_within_four_thousandths(value: int) -> None:
    middle = bucket_middle(bucket_of(value))
    assert abs(middle - value) <= abs(value) * 0.004
    assert bucket_of(middle) == bucket_of(value)
    assert -(2**63) <= middle < 2**63


@given(value=st.integers(-255, 255))
@settings(deadline=None)
def test_small_integers_have_buckets_of_their_own(value: int) -> None:
    assert bucket_middle(bucket_of(value)) == value


@given(values=st.lists(INT64, min_size=2, max_size=20))
@settings(deadline=None)
def test_a_greater_value_is_never_in_a_lower_bucket(values: list[int]) -> None:
    values.sort()
    buckets = [bucket_of(value) for value in values]
    assert buckets == sorted(buckets)
    middles = [bucket_middle(bucket) for bucket in buckets]
    assert middles == sorted(middles)


@given(values=st.lists(INT64, max_size=40))
@settings(deadline=None)
def test_the_buckets_of_an_array_are_those_of_its_values(values: list[int]) -> None:
    found = buckets_of(np.array(values, np.int64)).tolist()
    assert found == [bucket_of(value) for value in values]


def test_every_power_of_two_begins_a_bucket_and_the_extremes_have_one() -> None:
    extremes = [0, 2**63 - 1, -(2**63), -(2**63) + 1]
    values = BESIDE_POWERS + extremes
    assert buckets_of(np.array(values, np.int64)).tolist() == [bucket_of(v) for v in values]
    for power in (2**exponent for exponent in range(8, 63)):
        assert bucket_of(power) == bucket_of(power - 1) + 1
        assert bucket_of(-power) == bucket_of(1 - power) - 1
    for value in extremes:
        assert abs(bucket_middle(bucket_of(value)) - value) <= abs(value) * 0.004


def test_neighbouring_buckets_meet_without_a_gap() -> None:
    edges = {bucket_of(value): value for value in range(-5_000, 5_001)}
    assert sorted(edges) == list(range(min(edges), max(edges) + 1))


@given(
    q=st.fractions(Fraction(1, 1_000), 1, max_denominator=1_000),
    values=st.lists(st.integers(-200, 200), min_size=1, max_size=50),
)
@settings(deadline=None)
def test_the_nearest_rank_is_the_first_that_reaches_the_quantile(
    q: Fraction, values: list[int]
) -> None:
    values.sort()
    rank = rank_of(q, len(values))
    assert Fraction(rank, len(values)) >= q > Fraction(rank - 1, len(values))
    # At least this share of the values is at most the one of that rank.
    assert sum(value <= values[rank - 1] for value in values) >= q * len(values)


def test_the_rank_is_exact_where_a_double_would_round() -> None:
    assert rank_of(Fraction("0.07"), 100) == 7
    assert 0.07 * 100 > 7
    assert rank_of(Fraction(1), 10**17) == 10**17
    assert rank_of(Fraction(1, 2), 1) == 1


def test_a_plan_shares_one_sketch_between_the_windows_of_a_column() -> None:
    plan = plan_of(view_with(ApproxDistinct("amount"), ApproxDistinct("place")))
    assert plan.partials == (ThetaPartial(0), ThetaPartial(1))
