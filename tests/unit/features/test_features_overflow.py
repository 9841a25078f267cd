"""A sum outside int64 is an error on every path, and one that fits is right however it is made."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest

from headrace_features import Mean, Sliding, StdDev, Sum, Variance, oracle
from headrace_features.kernel.compute import compute
from headrace_features.oracle import Row, SpineRow
from headrace_features.partials import tiles
from headrace_features.partials.events import block_of
from headrace_features.partials.plan import plan_of
from headrace_schemas.errors import BadRecordError
from headrace_schemas.reasons import Reason
from histories import as_spine, as_table, reading, time_of, view_with

GREATEST, LEAST = 2**63 - 1, -(2**63)
NARROW = [Sliding("10ms")]


def by_oracle(aggregate: Any, events: Sequence[Row], time_ms: int) -> Any:
    (row,) = oracle.values(view_with(aggregate), events, [SpineRow("a", time_ms)])
    return next(iter(row.values()))


def by_kernel(aggregate: Any, events: Sequence[Row], time_ms: int) -> Any:
    view = view_with(aggregate)
    # Another row, of another entity, whose sum is fine: one that isn't is an error all the same.
    spine = as_spine([SpineRow("b", time_ms), SpineRow("a", time_ms)])
    (column,) = compute(view, as_table(view, events), spine).values()
    return column.to_pylist()[1]


def by_partials(aggregate: Any, events: Sequence[Row], time_ms: int) -> Any:
    view = view_with(aggregate)
    plan = plan_of(view)
    first_ms, last_ms = view.features[0].window.span(time_ms)  # type: ignore[union-attr] # no session
    inside = [e for e in events if first_ms <= time_of(e) <= last_ms]
    singles = [tiles.fold(plan, block_of(view, plan, as_table(view, [e]))) for e in inside]
    tile = tiles.merge(plan, singles)
    stored = tiles.decode(plan, tiles.encode(plan, tile))
    return plan.finalize(stored.states, view.features[0])


PATHS = {"oracle": by_oracle, "kernel": by_kernel, "partials": by_partials}
Path = Callable[[Any, Sequence[Row], int], Any]
each_path = pytest.mark.parametrize("path", PATHS.values(), ids=PATHS)


def amounts(*values: int, every_ms: int = 0) -> list[Row]:
    """Events of the given amounts, at one time or one after the other."""
    return [reading(f"e{n:03}", n * every_ms, amount=value) for n, value in enumerate(values)]


@each_path
@pytest.mark.parametrize("kind", [Sum, Mean, Variance, StdDev])
@pytest.mark.parametrize(
    "values",
    [
        (GREATEST, 1),
        (LEAST, -1),
        (LEAST, LEAST),
        (2**62, 2**62),
        (GREATEST, GREATEST, GREATEST, -1),
    ],
)
def test_a_sum_outside_int64_is_an_error(path: Path, kind: Any, values: tuple[int, ...]) -> None:
    aggregate = kind("amount")
    feature = view_with(aggregate).feature_names[0]
    with pytest.raises(BadRecordError, match=f"{feature}: .*outside int64.*filter the") as caught:
        path(aggregate, amounts(*values), 0)
    assert caught.value.reason is Reason.INTEGER_OVERFLOW


@each_path
@pytest.mark.parametrize(
    "values", [(GREATEST,), (LEAST,), (GREATEST, LEAST), (2**62, 2**62 - 1), (-(2**62), -(2**62))]
)
def test_a_sum_at_the_very_limits_is_right(path: Path, values: tuple[int, ...]) -> None:
    assert path(Sum("amount"), amounts(*values), 0) == sum(values)
    assert path(Mean("amount"), amounts(*values), 0) == float(sum(values)) / len(values)


@each_path
def test_a_sum_that_fits_is_right_though_parts_of_it_do_not(path: Path) -> None:
    values = (GREATEST, GREATEST, GREATEST, LEAST, LEAST, LEAST, 7)
    assert path(Sum("amount"), amounts(*values), 0) == 4


@each_path
def test_a_window_s_sum_is_right_though_the_sum_of_all_events_is_not(path: Path) -> None:
    history = amounts(*[GREATEST] * 50, 5, every_ms=10)
    # Each event is alone in its window; together they are far outside.
    for time_ms in (0, 9, 250, 499):
        assert path(Sum("amount", windows=NARROW), history, time_ms) == GREATEST
    assert path(Sum("amount", windows=NARROW), history, 500) == 5
    with pytest.raises(BadRecordError, match="outside int64"):
        path(Sum("amount", windows=[Sliding("11ms")]), history, 250)


@each_path
def test_squares_may_be_far_outside_int64(path: Path) -> None:
    history = amounts(GREATEST, -GREATEST, every_ms=1)
    assert path(Sum("amount"), history, 1) == 0
    # The numerator is 2·(2·g²) − 0 and the denominator 2.
    assert path(Variance("amount"), history, 1) == float(4 * GREATEST**2) / 2.0
    assert path(StdDev("amount"), history, 1) == (float(4 * GREATEST**2) / 2.0) ** 0.5


@each_path
def test_a_sum_of_doubles_goes_on_to_infinity(path: Path) -> None:
    history: list[Row] = [reading(f"e{n}", 0, price=1e308) for n in range(3)]
    assert path(Sum("price"), history, 0) == float("inf")
    history += [reading("f1", 0, price=-1e308), reading("f2", 0, price=-1e308)]
    # In between, 3e308 is no double, but it is a number.
    assert path(Sum("price"), history, 0) == 1e308
