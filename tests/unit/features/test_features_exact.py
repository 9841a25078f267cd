"""Exact sums against Python's fractions: nothing is lost, and what is rounded is rounded once."""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headrace_features.kernel.exact import Exact
from headrace_features.numbers import checked_int64, exact_sum, to_double
from headrace_schemas.errors import BadRecordError
from headrace_schemas.reasons import Reason

INT64 = st.one_of(
    st.integers(-9, 9),
    st.integers(-(2**31), 2**31),
    st.integers(-(2**63), 2**63 - 1),
    st.sampled_from([2**63 - 1, -(2**63), 2**32, -(2**32), 2**31 - 1]),
)
DOUBLES = st.one_of(
    st.sampled_from([0.0, -0.0, 0.1, -0.1, 5e-324, 2.0**-1022, 1.7976931348623157e308, 2.0**53]),
    st.floats(-1e6, 1e6),
    st.floats(allow_nan=False, allow_infinity=False),
)
SMALL_DOUBLES = st.floats(-1e-150, 1e-150)


def of_integers(values: Sequence[int]) -> Exact:
    return Exact.of_integers(np.array(values, np.int64))


def of_doubles(values: Sequence[float]) -> Exact:
    return Exact.of_doubles(np.array(values, np.float64))


def wide(values: Sequence[int], spread: int = 0) -> Exact:
    """Integers of any size in limbs; `spread` moves part of a limb to the one below it."""
    width = max((value.bit_length() for value in values), default=0) // 32 + 1
    limbs = [[(value >> (32 * j)) & 0xFFFFFFFF for value in values] for j in range(width)]
    limbs[-1] = [value >> (32 * (width - 1)) for value in values]
    for j in range(width - 1):
        limbs[j] = [low + (spread << 32) for low in limbs[j]]
        limbs[j + 1] = [high - spread for high in limbs[j + 1]]
    return Exact(tuple(np.array(limb, np.int64) for limb in limbs))


def fractions(exact: Exact) -> list[Fraction]:
    """What an array of exact numbers stands for."""
    unit = Fraction(2) ** exact.exponent
    return [
        sum(
            (int(limb[i]) * unit * 2 ** (32 * j) for j, limb in enumerate(exact.limbs)), Fraction(0)
        )
        for i in range(len(exact.limbs[0]))
    ]


def bits(values: Sequence[float]) -> list[str]:
    return [value.hex() for value in values]


@given(values=st.lists(INT64, max_size=30))
@settings(deadline=None)
def test_running_sums_of_integers_are_exact_where_int64_would_wrap(values: list[int]) -> None:
    running = of_integers(values).running()
    assert fractions(running) == [sum(values[:i]) for i in range(len(values) + 1)]


@given(values=st.lists(DOUBLES, max_size=12))
@settings(deadline=None)
def test_running_sums_of_doubles_are_exact(values: list[float]) -> None:
    running = of_doubles(values).running()
    assert fractions(running) == [exact_sum(values[:i]) for i in range(len(values) + 1)]


@given(values=st.lists(DOUBLES, min_size=1, max_size=12))
@settings(deadline=None)
def test_the_sum_of_any_run_of_doubles_is_rounded_once(values: list[float]) -> None:
    running = of_doubles(values).running()
    ends = np.arange(1, len(values) + 1)
    for start in range(len(values)):
        found = running.take(ends[start:]).minus(running.take(np.full(len(values) - start, start)))
        expected = [to_double(exact_sum(values[start:end])) for end in ends[start:]]
        assert bits(found.to_doubles().tolist()) == bits(expected)


@given(values=st.lists(DOUBLES, max_size=8))
@settings(deadline=None)
def test_a_double_taken_in_comes_out_as_it_was(values: list[float]) -> None:
    # An exact zero has no sign.
    assert bits(of_doubles(values).to_doubles().tolist()) == bits([value + 0.0 for value in values])


@given(values=st.lists(INT64, min_size=1, max_size=12))
@settings(deadline=None)
def test_squares_and_products_of_integers_are_exact(values: list[int]) -> None:
    factors = np.arange(len(values)) * (2**31 // len(values))
    squares = of_integers(values).squared()
    assert fractions(squares) == [value**2 for value in values]
    products = of_integers(values).times(factors)
    assert fractions(products) == [v * int(f) for v, f in zip(values, factors, strict=True)]


@given(values=st.lists(st.one_of(DOUBLES, SMALL_DOUBLES), min_size=1, max_size=6))
@settings(deadline=None)
def test_squares_of_doubles_are_exact_and_rounded_once(values: list[float]) -> None:
    squares = of_doubles(values).squared()
    assert fractions(squares) == [Fraction(value) ** 2 for value in values]
    expected = [to_double(Fraction(value) ** 2) for value in values]
    assert bits(squares.to_doubles().tolist()) == bits(expected)


@given(
    values=st.lists(st.integers(-(2**200), 2**200), min_size=1, max_size=6),
    others=st.lists(st.integers(-(2**90), 2**90), min_size=6, max_size=6),
    spread=st.integers(-(2**20), 2**20),
    factor=st.integers(0, 2**31),
)
@settings(deadline=None)
def test_wide_numbers_are_squared_multiplied_and_subtracted_exactly(
    values: list[int], others: list[int], spread: int, factor: int
) -> None:
    others = others[: len(values)]
    number = wide(values, spread)
    assert fractions(number) == values
    assert fractions(number.squared()) == [value**2 for value in values]
    factors = np.full(len(values), factor, np.int64)
    assert fractions(number.times(factors)) == [value * factor for value in values]
    difference = [value - other for value, other in zip(values, others, strict=True)]
    assert fractions(number.minus(wide(others))) == difference
    assert fractions(wide(others).minus(number)) == [-value for value in difference]


@st.composite
def near_halves(draw: st.DrawFn) -> int:
    """Wide integers at, or the least bit beside, the middle between two doubles."""
    mantissa = draw(st.integers(2**52, 2**53 - 1))
    shift = draw(st.integers(1, 300))
    half = draw(st.sampled_from([0, 1 << (shift - 1)]))
    beside = draw(st.sampled_from([0, 1, -1])) << draw(st.integers(0, shift - 1))
    return draw(st.sampled_from([1, -1])) * ((mantissa << shift) + half + beside)


@given(values=st.lists(near_halves(), min_size=1, max_size=8), spread=st.integers(-9, 9))
@settings(deadline=None, max_examples=300)
def test_a_wide_integer_becomes_the_nearest_double_half_to_even(
    values: list[int], spread: int
) -> None:
    expected = [to_double(value) for value in values]
    assert bits(wide(values, spread).to_doubles().tolist()) == bits(expected)


def test_one_bit_at_any_depth_decides_a_tie() -> None:
    ties = [(2**54 + 1) << depth for depth in range(2, 330)]
    ties += [(2**54 + 3) << depth for depth in range(2, 330)]
    values = [value for tie in ties for value in (tie - 1, tie, tie + 1)]
    values += [tie | 1 << bit for tie in ties[::20] for bit in range((tie & -tie).bit_length() - 1)]
    values += [-value for value in values]
    assert wide(values).to_doubles().tolist() == [to_double(value) for value in values]


def test_a_number_below_the_least_normal_double_is_rounded_once() -> None:
    top = [2**63 + 1, 2**64 - 1, 3 * 2**62, 2**63 + 2**10, 2**63 + 2**10 + 1, 5 * 2**61 + 7]
    numbers = [sign * value << shift for value in top for sign in (1, -1) for shift in (0, 40)]
    limbs = wide(numbers).limbs
    for power in range(-1180, -960):
        expected = [to_double(Fraction(2) ** power * number) for number in numbers]
        assert bits(Exact(limbs, power).to_doubles().tolist()) == bits(expected)


def test_a_sum_beyond_the_greatest_double_is_infinite() -> None:
    greatest = 1.7976931348623157e308
    sums = of_doubles([greatest, greatest, -greatest, -greatest, -greatest, -greatest]).running()
    expected = [0.0, greatest, math.inf, greatest, 0.0, -greatest, -math.inf]
    assert sums.to_doubles().tolist() == expected
    assert [to_double(sign * 10**400) for sign in (1, -1)] == [math.inf, -math.inf]
    # Half a unit above the greatest is the first that no double is nearest to.
    edge = int(greatest) + 2**969
    found = wide([edge + 2**969, edge + 2**969 - 1, edge]).to_doubles().tolist()
    assert found == [math.inf, greatest, greatest]


@pytest.mark.parametrize("spread", [0, 1, -1, 12_345, -(2**20)])
@pytest.mark.parametrize("wider", [0, 2**70])
def test_int64_ends_exactly_at_its_limits(spread: int, wider: int) -> None:
    inside = [2**63 - 1, -(2**63), 0, -1, 2**32, -(2**32), 2**31, -(2**31)]
    outside = [2**63, -(2**63) - 1, 2**64, -(2**64), 2**63 + 2**32, 2**95, -(2**95), 2**64 - 1]
    # A neighbour in the same array may need more limbs.
    number = wide([*inside, *outside, wider], spread)
    found = number.outside_int64().tolist()
    assert found == [False] * len(inside) + [True] * len(outside) + [wider > 0]
    assert number.take(np.arange(len(inside))).to_integers().tolist() == inside


def test_numbers_of_one_limb_are_inside_int64() -> None:
    number = of_integers([2**63 - 1, -(2**63), 0])
    assert not number.outside_int64().any()
    assert number.to_integers().tolist() == [2**63 - 1, -(2**63), 0]


@given(values=st.lists(INT64, min_size=1, max_size=20))
@settings(deadline=None)
def test_a_sum_is_outside_int64_just_where_python_says_so(values: list[int]) -> None:
    running = of_integers(values).running()
    sums = [sum(values[:i]) for i in range(len(values) + 1)]
    inside = [-(2**63) <= total < 2**63 for total in sums]
    assert (~running.outside_int64()).tolist() == inside
    held = np.flatnonzero(inside)
    assert running.take(held).to_integers().tolist() == [sums[i] for i in held]


def test_no_numbers_at_all_have_the_sum_nothing() -> None:
    for nothing in (of_integers([]), of_doubles([])):
        assert nothing.running().to_doubles().tolist() == [0.0]
        assert nothing.squared().running().to_doubles().tolist() == [0.0]


@given(values=st.lists(DOUBLES, max_size=10))
@settings(deadline=None)
def test_the_oracle_s_sum_is_the_correctly_rounded_one(values: list[float]) -> None:
    try:
        expected = math.fsum(values)
    except OverflowError:
        # fsum gives up where a partial sum is beyond the greatest double.
        return
    assert to_double(exact_sum(values)) == expected


def test_an_integer_outside_int64_is_refused_with_where_it_came_from() -> None:
    assert checked_int64(2**63 - 1, "x") == 2**63 - 1
    assert checked_int64(-(2**63), "x") == -(2**63)
    for value in (2**63, -(2**63) - 1):
        with pytest.raises(BadRecordError, match=f"amount_sum_1d: the sum {value}") as caught:
            checked_int64(value, "amount_sum_1d")
        assert caught.value.reason is Reason.INTEGER_OVERFLOW
