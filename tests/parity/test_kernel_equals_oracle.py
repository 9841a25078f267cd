"""The vectorised kernel gives what the oracle gives, bit for bit."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar
from unittest import mock

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headrace_features import oracle
from headrace_features.definitions.views import FeatureView
from headrace_features.kernel import compute
from headrace_features.oracle import Row, SpineRow
from headrace_schemas.errors import BadRecordError
from headrace_schemas.reasons import Reason
from histories import LATE, PROMPT, WINDOWS, as_spine, as_table, bits, histories, spines, view_of

T = TypeVar("T")

VIEWS = {
    "prompt": view_of(PROMPT),
    "late": view_of(LATE),
    "filtered": view_of(
        LATE,
        WINDOWS[:3],
        filter="amount > 0 OR doubled_is_small IS NULL OR place IN ('DE', '')",
        derived={"doubled_is_small": "amount BETWEEN -3 AND 3"},
    ),
}


def outcome(values: Callable[[], T]) -> T | Reason:
    """The values, or why they are refused."""
    try:
        return values()
    except BadRecordError as error:
        return error.reason


def assert_equal(view: FeatureView, history: Sequence[Row], spine: Sequence[SpineRow]) -> None:
    expected = outcome(lambda: oracle.values(view, history, spine))
    result = outcome(lambda: compute.compute(view, as_table(view, history), as_spine(spine)))
    if isinstance(expected, Reason) or isinstance(result, Reason):
        assert result == expected
        return
    assert list(result) == list(view.feature_names)
    for name, column in result.items():
        found = [bits(value) for value in column.to_pylist()]
        assert found == [bits(row[name]) for row in expected], name


@pytest.mark.parametrize("name", VIEWS)
@given(data=st.data())
@settings(deadline=None, max_examples=150)
def test_kernel_equals_oracle_for_every_aggregate_and_window(
    name: str, data: st.DataObject
) -> None:
    history = data.draw(histories())
    assert_equal(VIEWS[name], history, data.draw(spines(history)))


@pytest.mark.parametrize("name", ["late", "prompt"])
@given(data=st.data())
@settings(deadline=None, max_examples=60)
def test_working_in_chunks_and_parts_of_them_changes_nothing(
    name: str, data: st.DataObject
) -> None:
    history = data.draw(histories())
    spine = data.draw(spines(history))
    with mock.patch.object(compute, "CHUNK", 3), mock.patch.object(compute, "PART", 2):
        assert_equal(VIEWS[name], history, spine)
