"""The kernel where tables are large, keys hot, times far apart and columns in many pieces."""

from __future__ import annotations

import itertools
import random
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from headrace_features import (
    ApproxDistinct,
    Count,
    Distinct,
    Entity,
    EventSource,
    FeatureView,
    Last,
    Max,
    Mean,
    Quantile,
    Session,
    Sliding,
    Sum,
    Tumbling,
    Unbounded,
    Variance,
    oracle,
)
from headrace_features.definitions.windows import Window
from headrace_features.kernel import compute, prepare
from headrace_features.kernel.frames import Frame
from headrace_features.kernel.prepare import Spine
from headrace_features.kernel.sorting import order_by, positions, stable_order
from headrace_features.oracle import Row, SpineRow
from headrace_schemas.events import Event
from histories import LATE, PROMPT, as_spine, as_table, bits, reading, time_of, view_of, view_with


def assert_equal(view: FeatureView, events: Sequence[Row], spine: Sequence[SpineRow]) -> None:
    expected = oracle.values(view, events, spine)
    for name, column in compute.compute(view, as_table(view, events), as_spine(spine)).items():
        found = [bits(value) for value in column.to_pylist()]
        assert found == [bits(row[name]) for row in expected], name


def hot(count: int, *, seed: int) -> list[Row]:
    """Events of one busy sensor and a few of another, many at one time, in random order."""
    rng = random.Random(seed)
    rows = []
    for number in range(count):
        time_ms = rng.randrange(-count, count) // 3 * 3
        rows.append(
            reading(
                f"{rng.randrange(10**6):06}-{number}",
                time_ms,
                sensor="a" if rng.random() < 0.99 else "b",
                known_at=time_ms + rng.choice([0, 0, 0, 5, 500, 5_000]),
                amount=rng.choice([None, rng.randrange(-9, 9), rng.randrange(-(10**12), 10**12)]),
                price=rng.choice([None, 0.1, rng.uniform(-1e9, 1e9)]),
                place=rng.choice([None, "", "DE", "FR", f"p{rng.randrange(500)}"]),
                flag=rng.choice([None, True, False]),
            )
        )
    return rows


@pytest.mark.parametrize("source", [PROMPT, LATE], ids=["prompt", "late"])
def test_a_hot_key_has_the_oracle_s_values_for_every_aggregate(source: EventSource) -> None:
    events = hot(3_000, seed=1)
    view = view_of(source, (Sliding("2s", hop="50ms"), Session("4ms")))
    rows = random.Random(2).sample(events, 5)
    spine = [SpineRow("a", time_of(row), str(row["reading_id"])) for row in rows]
    assert_equal(view, events, [*spine, SpineRow("a", 3_000), SpineRow("b", 3_000)])


@pytest.mark.parametrize("nulls_first", [False, True])
def test_more_distinct_values_than_a_sketch_holds_are_estimated_like_the_library(
    nulls_first: bool,  # noqa: FBT001 - a parameter of the test
) -> None:
    rng = random.Random(3)
    values: list[int | None] = [None] * 50 + [number * 11 for number in range(4_600)]
    values += [rng.choice(values) for _ in range(400)]
    rng.shuffle(values)
    if nulls_first:
        values.sort(key=lambda value: value is not None)
    events = [
        reading(f"e{n:05}", n, amount=value, place=None if value is None else f"p{value}")
        for n, value in enumerate(values)
    ]
    # A second sensor with few values, one of them shared.
    events += [reading(f"b{n}", n, sensor="b", amount=n * 11, place=f"p{n}") for n in range(30)]
    windows: tuple[Window, ...] = (Unbounded(), Sliding("4300ms"))
    view = view_with(
        ApproxDistinct("amount", windows=windows),
        ApproxDistinct("place", windows=windows, exclude_current=True),
        Distinct("amount", windows=windows),
    )
    times_ms = [0, 100, 4_200, 4_500, len(values) - 1, len(values) + 1_000]
    spine = [SpineRow("a", time_ms, f"e{time_ms:05}") for time_ms in times_ms]
    assert_equal(view, events, [*spine, SpineRow("b", 5_000), SpineRow("c", 5_000)])
    everything = oracle.values(view, events, [spine[-1]])[0]
    exact, estimate = everything["amount_distinct"], everything["amount_approx_distinct"]
    assert exact == 4_600
    assert estimate != exact


@pytest.mark.parametrize("q", [1e-9, 0.01, 1 / 3, 0.5, 0.9999999999999999, 1])
def test_quantiles_of_many_values_are_the_oracle_s(q: float) -> None:
    rng = random.Random(4)
    amounts = [None, 2**63 - 1, -(2**63), *(rng.getrandbits(n % 63 + 1) for n in range(500))]
    events = [reading(f"e{n:05}", n, amount=rng.choice(amounts)) for n in range(3_000)]
    view = view_with(
        Quantile("amount", q=q, windows=[Unbounded(), Sliding("1s")]),
        Quantile("amount", q=q, windows=[Sliding("1s")], exclude_current=True, default=-5),
    )
    spine = [SpineRow("a", n, f"e{n:05}") for n in (-1, 0, 1, 2, 999, 2_000, 2_999, 3_998, 4_500)]
    assert_equal(view, events, spine)


def test_more_entities_than_sixteen_bits_are_kept_apart() -> None:
    count = 70_000
    rng = random.Random(5)
    numbers = list(range(count))
    rng.shuffle(numbers)
    events = [
        reading(f"e{n}", rng.randrange(1_000), sensor=f"s{n}", amount=n, place=str(n))
        for n in [*numbers, *numbers[:2_000]]
    ]
    for n, event in enumerate(events):
        events[n] = {**event, "reading_id": f"e{n}"}
    view = view_with(
        Count(), Sum("amount"), Last("place"), Max("amount", windows=[Sliding("500ms")])
    )
    rows = [SpineRow(f"s{n}", rng.randrange(1_200)) for n in rng.sample(range(count + 5), 20_000)]
    assert_equal(view, events, rows)


@pytest.mark.parametrize("codes", [1, 2**16 - 1, 2**16, 2**16 + 1, 2**33])
def test_sorting_by_code_and_time_is_that_of_a_stable_sort(codes: int) -> None:
    rng = np.random.default_rng(6)
    code = rng.integers(0, codes, 5_000)
    for time_ms in (rng.integers(-50, 50, 5_000), np.arange(5_000), np.zeros(5_000, np.int64)):
        assert order_by(code, time_ms).tolist() == np.lexsort((time_ms, code)).tolist()
    assert stable_order(code).tolist() == np.argsort(code, kind="stable").tolist()


@pytest.mark.parametrize("keys", [0, 1, 100, 9_000])
@pytest.mark.parametrize("needles", [0, 4_096, 4_097, 20_000])
def test_positions_among_sorted_keys_are_those_of_numpy(keys: int, needles: int) -> None:
    rng = np.random.default_rng(10)
    sorted_keys = np.sort(rng.integers(0, 5_000, keys))
    for looked_for in (rng.integers(-9, 5_009, needles), np.full(needles, 2_500)):
        for order in (looked_for, np.sort(looked_for)):
            expected = np.searchsorted(sorted_keys, order)
            assert positions(sorted_keys, order).tolist() == expected.tolist()


FAR_APART = (
    Count(
        windows=[Sliding("1h"), Sliding("1d", hop="1h", delay="2h"), Tumbling("1d"), Unbounded()]
    ),
    Sum("amount", windows=[Session("1h")], exclude_current=True),
    Mean("price", windows=[Unbounded(delay="1d")]),
)


@pytest.mark.parametrize("reach", [2**40, 2**56, 2**58, 2**60, 2**61])
@pytest.mark.parametrize("source", [PROMPT, LATE], ids=["prompt", "late"])
def test_entities_and_times_that_do_not_fit_one_integer_are_kept_apart(
    reach: int, source: EventSource
) -> None:
    rng = random.Random(7)
    times_ms = [-reach, -reach + 1, -1, 0, 1, reach - 1, reach]
    events = [
        reading(
            f"e{n:04}",
            time_ms := rng.choice(times_ms) + rng.randrange(3_600_000),
            sensor=f"s{rng.randrange(100)}",
            known_at=time_ms + rng.choice([0, 1, 10_000_000]),
            amount=n,
            price=n / 7,
        )
        for n in range(500)
    ]
    spine = [
        SpineRow(
            f"s{rng.randrange(101)}",
            rng.choice(times_ms) + rng.randrange(7_200_000),
            f"e{rng.randrange(500):04}",
        )
        for _ in range(300)
    ]
    view = view_with(*FAR_APART, source=source)
    assert_equal(view, events, spine)
    # A spine of few rows among many entities leaves most codes unused.
    assert_equal(view, events, spine[:2])


def test_an_event_of_an_entity_beyond_the_rows_comes_after_them_all() -> None:
    entities, times_ms = np.array([0, 2**20]), np.array([0, 0])
    rows = np.array([0, 0]), np.array([0, 2**44])
    frame = Frame(entities, times_ms, None, *rows, current=np.full(2, -1))
    assert frame.first_row_at(times_ms).tolist() == [0, 2]
    assert frame.first_row_at(np.array([1, 0])).tolist() == [1, 2]
    assert frame.first_row_at(np.array([2**45, 2**45])).tolist() == [2, 2]


def test_one_row_among_very_many_entities_sees_its_own_events() -> None:
    # The code of an entity and a time together need more than 63 bits.
    count = 40_000
    today_ms = 2**49
    events = [reading(f"e{n}", today_ms + n, sensor=f"s{n}", amount=n) for n in range(count)]
    spine = [
        SpineRow("s0", -today_ms),
        SpineRow("s0", today_ms),
        SpineRow(f"s{count - 1}", today_ms + count),
        SpineRow(f"s{count // 2}", today_ms + count),
    ]
    assert_equal(view_with(Count(windows=[Sliding("1h")]), Sum("amount")), events, spine)


def test_the_events_themselves_as_the_spine_have_the_values_of_a_spine_beside_them() -> None:
    events = hot(300, seed=8)
    view = view_of(LATE, (Sliding("60ms"), Session("4ms"), Unbounded()))
    table = as_table(view, events)
    itself = Spine(table["sensor"], table["event_time"], table["reading_id"])
    beside = as_spine(
        [SpineRow(str(row["sensor"]), time_of(row), str(row["reading_id"])) for row in events]
    )
    found, expected = compute.compute(view, table, itself), compute.compute(view, table, beside)
    assert {n: bits_of(c) for n, c in found.items()} == {n: bits_of(c) for n, c in expected.items()}
    # Each key is encoded once, not once as an event's and once as a row's.
    event_codes, row_codes = prepare._entity_codes(table["sensor"], itself.keys)
    assert event_codes is row_codes


def bits_of(column: pa.Array) -> list[object]:
    return [bits(value) for value in column.to_pylist()]


def test_columns_in_many_pieces_some_of_them_empty_change_nothing() -> None:
    events = hot(200, seed=9)
    view = view_of(LATE, (Sliding("60ms"), Tumbling("50ms")), derived={"twice": "price * 2"})
    table = as_table(view, events)
    cuts = [0, 7, 7, 8, 150, 200, 200]
    pieces = pa.concat_tables([table[at:to] for at, to in itertools.pairwise(cuts)])
    assert pieces["sensor"].num_chunks > 3
    spine = as_spine([SpineRow("a", n * 11, None) for n in range(-20, 20)])
    halves = [spine.keys.chunk(0)[:3], spine.keys.chunk(0)[3:]]
    others = [spine.times_ms.chunk(0)[:30], spine.times_ms.chunk(0)[30:]]
    cut = Spine(pa.chunked_array(halves), pa.chunked_array(others))
    whole = compute.compute(view, table, spine)
    split = compute.compute(view, pieces, cut)
    assert {n: bits_of(c) for n, c in whole.items()} == {n: bits_of(c) for n, c in split.items()}


@pytest.mark.parametrize("source", [PROMPT, LATE], ids=["prompt", "late"])
def test_no_events_or_no_rows_are_no_problem(source: EventSource) -> None:
    view = view_of(source, (Sliding("60ms"), Session("4ms"), Unbounded()))
    assert_equal(view, [], [SpineRow("a", 0, "e"), SpineRow("b", 5)])
    assert_equal(view, [reading("e1", 0)], [])
    assert_equal(view, [], [])


class Visit(Event, frozen=True, kw_only=True):
    """A visit of a user who is known by a number."""

    visit_id: str
    user: int
    event_time: int
    seconds: int


def test_keys_that_are_numbers_work_as_those_that_are_texts() -> None:
    visits = EventSource("visits", Visit, dedup_key="visit_id")
    view = FeatureView(
        name="user_activity",
        version=1,
        entity=Entity("user", join_key="user"),
        source=visits,
        aggregates=[Count(windows=[Sliding("5ms")]), Variance("seconds")],
    )
    keys = [0, -1, 2**63 - 1, -(2**63), 7]
    events: list[dict[str, Any]] = [
        {"visit_id": f"v{n}", "user": keys[n % 4], "event_time": n, "seconds": n * n}
        for n in range(40)
    ]
    spine = [SpineRow(key, time_ms) for key in keys for time_ms in (0, 17, 40, 44)]
    expected = oracle.values(view, events, spine)
    found = compute.compute(
        view,
        pa.Table.from_pylist(events),
        Spine(
            pa.chunked_array([[row.key for row in spine]], pa.int64()),
            pa.chunked_array([[row.time_ms for row in spine]], pa.int64()),
        ),
    )
    for name, column in found.items():
        assert bits_of(column) == [bits(row[name]) for row in expected]


def test_tiny_and_huge_doubles_together_keep_every_bit() -> None:
    prices = [5e-324, 1e-300, -1e-200, 2.0**-1022, 1.1e-160, 1e308, -1e308, 0.1, -0.0, 1e150]
    events = [reading(f"e{n}", n, price=price) for n, price in enumerate(prices * 2)]
    view = view_with(
        *(
            kind("price", windows=[Sliding(size) for size in ("2ms", "3ms", "7ms", "15ms")])
            for kind in (Sum, Mean, Variance, Max)
        )
    )
    assert_equal(view, events, [SpineRow("a", time_ms) for time_ms in range(25)])
