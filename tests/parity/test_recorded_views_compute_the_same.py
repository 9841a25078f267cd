"""A view that was made of its document computes what the declared one does, bit for bit."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from headrace_features import (
    ApproxDistinct,
    Count,
    Distinct,
    FeatureView,
    First,
    Last,
    Max,
    Mean,
    Min,
    Quantile,
    Session,
    Sliding,
    StdDev,
    Sum,
    Tumbling,
    Unbounded,
    Variance,
    oracle,
    struct,
)
from headrace_features.definitions.fingerprint import fingerprint
from headrace_features.definitions.portable import from_portable, portable
from headrace_features.kernel import compute
from headrace_features.oracle import Row, SpineRow
from headrace_schemas.errors import BadRecordError
from headrace_schemas.reasons import Reason
from histories import LATE, PROMPT, as_spine, as_table, bits, histories, spines, view_with

_DELAYS = st.sampled_from(["0ms", "3ms", "1s"])
_SIZES = st.integers(1, 40).map("{}ms".format)
_WINDOWS = st.one_of(
    st.builds(Sliding, _SIZES, delay=_DELAYS),
    st.builds(
        lambda hops, delay: Sliding(f"{5 * hops}ms", hop="5ms", delay=delay),
        st.integers(1, 6),
        _DELAYS,
    ),
    st.builds(Tumbling, _SIZES, delay=_DELAYS),
    st.builds(Session, _SIZES, delay=_DELAYS),
    st.builds(Unbounded, delay=_DELAYS),
)
_COLUMNS: dict[str, Any] = {
    "amount": st.one_of(st.none(), st.integers(-(2**63), 2**63 - 1)),
    "price": st.one_of(st.none(), st.integers(-9, 9), st.floats(allow_nan=False)),
    "place": st.one_of(st.none(), st.text()),
    "flag": st.one_of(st.none(), st.booleans()),
}
_DOUBLE = _COLUMNS["price"]
_FILTERS = (None, "small", "price > 0.5 OR flag", "place IN ('DE', '''')\n", "NOT small")
_AGGREGATES = (
    *(Count, Sum, Mean, Variance, StdDev, Min, Max, First, Last, Distinct),
    *(ApproxDistinct, Quantile, struct),
)
_DERIVED = {"small": "amount BETWEEN -3 AND 3", "half": "amount / 2", "where_from": "place"}


@st.composite
def aggregates(draw: st.DrawFn) -> Any:
    """Any aggregate with all that it may be given."""
    common: dict[str, Any] = {
        "windows": draw(st.lists(_WINDOWS, min_size=1, max_size=3, unique_by=repr)),
        "exclude_current": draw(st.booleans()),
    }
    made: Any = draw(st.sampled_from(_AGGREGATES))
    if made is Count:
        return Count(**common)
    if made is struct:
        names = draw(st.lists(st.sampled_from([*_COLUMNS, "half"]), min_size=1, unique=True))
        return draw(st.sampled_from([First, Last]))(struct(*names), **common)
    if made is Quantile:
        q = draw(st.floats(0, 1, exclude_min=True).map(lambda q: max(round(q, 4), 1e-4)))
        return Quantile("amount", default=draw(_COLUMNS["amount"]), q=q, **common)
    if made in (Distinct, ApproxDistinct, Sum):
        columns = ("amount", "price", "flag") if made is Sum else ("amount", "place", "flag")
        return made(draw(st.sampled_from(columns)), **common)
    if made in (Mean, Variance, StdDev):
        column = draw(st.sampled_from(["amount", "price", "flag", "half"]))
        return made(column, default=draw(_DOUBLE), **common)
    column = draw(st.sampled_from(["amount", "price"] if made in (Min, Max) else [*_COLUMNS]))
    return made(column, default=draw(_COLUMNS[column]), **common)


@st.composite
def views(draw: st.DrawFn) -> FeatureView:
    """A view of up to a few aggregates, with a filter or without."""
    chosen = draw(st.lists(aggregates(), min_size=1, max_size=4, unique_by=lambda one: one.kind))
    names = draw(st.permutations(list(_DERIVED)))
    return view_with(
        *chosen,
        source=draw(st.sampled_from([PROMPT, LATE])),
        filter=draw(st.sampled_from(_FILTERS)),
        derived={name: _DERIVED[name] for name in names},
        description=draw(st.text()),
        tags=draw(st.dictionaries(st.text(), st.text(), max_size=2)),
    )


def computed(view: FeatureView, history: list[Row], spine: list[SpineRow]) -> object:
    """The values by oracle and kernel, or why they are refused."""
    try:
        rows = oracle.values(view, history, spine)
        found = compute.compute(view, as_table(view, history), as_spine(spine))
    except BadRecordError as error:
        return Reason(error.reason)
    return (
        [{name: bits(value) for name, value in row.items()} for row in rows],
        {name: [bits(value) for value in column.to_pylist()] for name, column in found.items()},
    )


@given(view=views(), data=st.data())
@settings(deadline=None, max_examples=200)
def test_a_view_of_a_document_computes_what_the_declared_one_does(
    view: FeatureView, data: st.DataObject
) -> None:
    document = portable(view)
    recorded = from_portable(json.loads(json.dumps(document, sort_keys=True)))
    assert portable(recorded) == document
    assert fingerprint(recorded) == fingerprint(view)
    assert recorded.features == view.features
    assert recorded.lookback_ms == view.lookback_ms
    history = data.draw(histories())
    spine = data.draw(spines(history))
    assert computed(recorded, history, spine) == computed(view, history, spine)
