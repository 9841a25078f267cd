"""Columns become rows of shards with every value, null and text where it belongs."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from fractions import Fraction

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace_batch.staging.columns import Precision, Roles, layout_of
from headrace_batch.staging.packing import Packing
from headrace_batch.staging.statistics import joined, moments_of
from headrace_schemas.errors import BadRecordError, ConfigurationError

SCHEMA = pa.schema(
    [
        ("user_id", pa.string()),
        ("event_time", pa.timestamp("us", "UTC")),
        ("item", pa.int32()),
        ("price", pa.float64()),
        ("is_new", pa.bool_()),
        ("bought", pa.bool_()),
        ("row", pa.int64()),
        ("view__count_1d", pa.int64()),
        ("view__mean_7d", pa.float64()),
        ("view__last_country", pa.string()),
    ]
)
ROLES = Roles({"view__count_1d", "view__mean_7d", "view__last_country"}, ("bought",))


def table(**columns: Sequence[object]) -> pa.Table:
    rows = len(next(iter(columns.values())))
    whole = {
        "user_id": ["u"] * rows,
        "event_time": [datetime(2024, 5, 1, tzinfo=UTC)] * rows,
        "item": [1] * rows,
        "price": [0.5] * rows,
        "is_new": [True] * rows,
        "bought": [False] * rows,
        "row": list(range(rows)),
        "view__count_1d": [0] * rows,
        "view__mean_7d": [0.0] * rows,
        "view__last_country": ["DE"] * rows,
        **columns,
    }
    return pa.table(whole, SCHEMA)


def packing(precision: Precision = Precision.FLOAT32) -> Packing:
    layout = layout_of(SCHEMA, ROLES, precision)
    return Packing(layout, {"user_id": ("u", "v"), "view__last_country": ("AT", "DE")})


def test_each_column_is_in_the_part_of_its_type() -> None:
    parts = {part.name: part.columns for part in packing().layout.parts}
    assert parts == {
        "ids": ("row", "event_time", "item", "is_new"),
        "x": ("price", "view__count_1d", "view__mean_7d"),
        "y": ("bought",),
        "codes": ("user_id", "view__last_country"),
    }
    assert packing().layout.dtype.itemsize % 8 == 0


def test_values_are_where_their_columns_are() -> None:
    rows = packing().rows(
        table(user_id=["v", "u"], view__mean_7d=[1.25, -3.5], bought=[True, False], item=[7, 8])
    )
    noon = int(datetime(2024, 5, 1, tzinfo=UTC).timestamp() * 1000)
    assert rows["ids"].tolist() == [[0, noon, 7, 1], [1, noon, 8, 1]]
    assert rows["x"].tolist() == [[0.5, 0.0, 1.25], [0.5, 0.0, -3.5]]
    assert rows["y"].tolist() == [1.0, 0.0]
    assert rows["codes"].tolist() == [[1, 1], [0, 1]]
    assert not rows["mask"].any()


@given(
    st.lists(st.one_of(st.none(), st.floats(width=32)), min_size=1, max_size=20),
    st.sampled_from(list(Precision)),
)
def test_a_null_is_zero_and_told_by_the_mask(
    values: list[float | None], precision: Precision
) -> None:
    packed = packing(precision)
    rows = packed.rows(table(view__mean_7d=values))
    found = rows["x"][:, 2]
    expected = np.array([0 if one is None else one for one in values], precision.value)
    assert np.array_equal(found, expected, equal_nan=True)
    is_null = packed.layout.nulls(rows["mask"], "view__mean_7d")
    assert is_null.tolist() == [one is None for one in values]
    assert not packed.layout.nulls(rows["mask"], "price").any()


def test_numbers_are_rounded_to_the_precision_that_is_asked_for() -> None:
    third = [1 / 3]
    assert packing().rows(table(view__mean_7d=third))["x"][0, 2] == np.float32(1 / 3)
    exact = packing(Precision.FLOAT64).rows(table(view__mean_7d=third))
    assert exact["x"][0, 2] == 1 / 3


def test_what_its_part_cannot_hold_is_refused() -> None:
    with pytest.raises(BadRecordError, match=r"1e\+39 in the column 'view__mean_7d' is beyond"):
        packing().rows(table(view__mean_7d=[1e39]))
    with pytest.raises(
        BadRecordError, match="'w' is not in the dictionary of the column 'user_id'"
    ):
        packing().rows(table(user_id=["w"]))


def test_texts_without_a_dictionary_are_told_apart() -> None:
    schema = pa.schema([("row", pa.int64()), ("trace", pa.string())])
    packed = Packing(layout_of(schema, Roles(set()), Precision.FLOAT32), {})

    def codes(*texts: str | None) -> list[int]:
        found: list[int] = packed.rows(
            pa.table({"row": range(len(texts)), "trace": texts}, schema)
        )["codes"][:, 0].tolist()
        return found

    assert codes("a", None, "b", "a") == [*codes("a"), 0, *codes("b"), *codes("a")]
    assert len({*codes("a", "b", "c"), 0}) == 4


def test_columns_that_shards_do_not_have_are_refused() -> None:
    odd = SCHEMA.append(pa.field("payload", pa.binary()))
    with pytest.raises(ConfigurationError, match="'payload' is binary, which shards don't have"):
        layout_of(odd, ROLES, Precision.FLOAT32)
    without = layout_of(odd, Roles(ROLES.inputs, left_out=["payload"]), Precision.FLOAT32)
    assert "payload" not in without.places
    with pytest.raises(ConfigurationError, match="unknown column of the training set 'label'"):
        layout_of(SCHEMA, Roles(ROLES.inputs, ("label",)), Precision.FLOAT32)
    with pytest.raises(ConfigurationError, match="'user_id' is string, expected numbers"):
        layout_of(SCHEMA, Roles(ROLES.inputs, ("user_id",)), Precision.FLOAT32)


@given(
    st.lists(
        st.lists(st.one_of(st.none(), st.integers(-100, 100)), min_size=1, max_size=9),
        min_size=1,
        max_size=5,
    )
)
def test_statistics_of_shards_are_those_of_all_rows(shards: list[list[int | None]]) -> None:
    packed = packing(Precision.FLOAT64)
    parts = [packed.rows(table(view__count_1d=values)) for values in shards]
    found = joined(moments_of(packed.layout, rows) for rows in parts)["view__count_1d"].described()
    values = [one for shard in shards for one in shard]
    kept = [one for one in values if one is not None]
    assert (found["count"], found["nulls"]) == (len(kept), len(values) - len(kept))
    if kept:
        assert found["mean"] == pytest.approx(np.mean(kept))
        assert found["std"] == pytest.approx(np.std(kept))
        assert (found["min"], found["max"]) == (min(kept), max(kept))
    else:
        assert found["mean"] is None


@given(st.lists(st.lists(st.floats(), min_size=1, max_size=9), min_size=1, max_size=5))
def test_statistics_are_finite_whatever_the_numbers_are(shards: list[list[float]]) -> None:
    packed = packing(Precision.FLOAT64)
    parts = [packed.rows(table(view__mean_7d=values)) for values in shards]
    found = joined(moments_of(packed.layout, rows) for rows in parts)["view__mean_7d"].described()
    values = np.concatenate(shards)
    kept = values[np.isfinite(values)]
    assert (found["count"], found["not_finite"]) == (len(kept), len(values) - len(kept))
    if not len(kept):
        assert (found["mean"], found["std"], found["min"], found["max"]) == (None,) * 4
        return
    exact = [Fraction(one) for one in kept.tolist()]
    mean = sum(exact, Fraction(0)) / len(exact)
    largest = max(abs(one) for one in exact)
    assert abs(Fraction(found["mean"] or 0.0) - mean) <= largest * Fraction(1, 10**12)
    squares = sum(((one - mean) ** 2 for one in exact), Fraction(0)) / len(exact)
    assert abs(Fraction(found["std"] or 0.0) ** 2 - squares) <= largest**2 * Fraction(1, 10**12)
    assert (found["min"], found["max"]) == (kept.min(), kept.max())


def test_a_whole_number_beyond_64_bits_with_a_sign_is_refused() -> None:
    schema = pa.schema([("row", pa.int64()), ("item", pa.uint64())])
    layout = layout_of(schema, Roles(set()), Precision.FLOAT32)
    rows = pa.table({"row": [0], "item": pa.array([2**63 + 5], pa.uint64())})
    with pytest.raises(BadRecordError, match="9223372036854775813 in the column 'item' is beyond"):
        Packing(layout, {}).rows(rows)
