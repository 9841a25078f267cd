"""A label that is reported late is in no value before it was reported."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headrace_features import oracle
from headrace_features.definitions.durations import DAY_MS, HOUR_MS
from headrace_features.fraud.definitions import terminal_risk
from headrace_features.kernel.compute import compute
from headrace_features.kernel.prepare import ARROW_TYPES, Spine
from headrace_features.oracle import Row, SpineRow
from histories import bits, time_of

Values = list[dict[str, Any]]


def by_oracle(labels: Sequence[Row], spine: Sequence[SpineRow]) -> Values:
    return [dict(row) for row in oracle.values(terminal_risk, labels, spine)]


def by_kernel(labels: Sequence[Row], spine: Sequence[SpineRow]) -> Values:
    schema = pa.schema([(c.name, ARROW_TYPES[c.type]) for c in terminal_risk.source.columns])
    asked = Spine(
        keys=pa.chunked_array([[row.key for row in spine]], pa.string()),
        times_ms=pa.chunked_array([[row.time_ms for row in spine]], pa.int64()),
    )
    table = pa.Table.from_pylist([dict(row) for row in labels], schema=schema)
    columns = compute(terminal_risk, table, asked)
    lists = {name: column.to_pylist() for name, column in columns.items()}
    return [{name: values[i] for name, values in lists.items()} for i in range(len(spine))]


each_path = pytest.mark.parametrize("path", [by_oracle, by_kernel])
Path = Callable[[Sequence[Row], Sequence[SpineRow]], Values]


def label(number: int, time_ms: int, reported_ms: int, *, is_fraud: bool, terminal: str) -> Row:
    return {
        "transaction_id": f"t{number:03}",
        "card_id": "c",
        "terminal_id": terminal,
        "event_time": time_ms,
        "is_fraud": is_fraud,
        "reported_at": reported_ms,
    }


@st.composite
def reported(draw: st.DrawFn) -> list[Row]:
    """Labels of two months, reported after anything from nothing to a month."""
    delays = st.one_of(
        st.sampled_from([0, 1, 7 * DAY_MS - 1, 7 * DAY_MS, 7 * DAY_MS + 1, 8 * DAY_MS]),
        st.integers(0, 30 * DAY_MS),
    )
    labels = []
    for number in range(draw(st.integers(0, 30))):
        time_ms = draw(st.integers(0, 60 * 24)) * HOUR_MS
        labels.append(
            label(
                number,
                time_ms,
                time_ms + draw(delays),
                is_fraud=draw(st.booleans()),
                terminal=draw(st.sampled_from(["t1", "t1", "t2"])),
            )
        )
    return labels


def whole(value: Any) -> int:
    assert isinstance(value, int)
    return value


@st.composite
def moments(draw: st.DrawFn, labels: Sequence[Row]) -> int:
    """A time in the three months, often just when a label is reported or a window's edge."""
    times = [st.integers(0, 90 * 24).map(lambda hours: hours * HOUR_MS)]
    if labels:
        chosen = draw(st.sampled_from(list(labels)))
        times.append(st.just(whole(chosen["reported_at"])))
        times.append(
            st.sampled_from([7, 8, 14, 37]).map(lambda d: whole(chosen["event_time"]) + d * DAY_MS)
        )
    return draw(st.one_of(times)) + draw(st.sampled_from([0, 0, -1, 1]))


@each_path
@given(data=st.data())
@settings(deadline=None, max_examples=60)
def test_what_is_not_reported_yet_changes_no_value(path: Path, data: st.DataObject) -> None:
    labels = data.draw(reported())
    time_ms = data.draw(moments(labels))
    spine = [SpineRow("t1", time_ms), SpineRow("t2", time_ms)]
    known = [row for row in labels if whole(row["reported_at"]) <= time_ms]
    found = path(labels, spine)
    assert found == path(known, spine)
    # Nor does it matter what it will turn out to be.
    turned = [row if row in known else {**row, "is_fraud": not row["is_fraud"]} for row in labels]
    assert found == path(turned, spine)


@each_path
@given(data=st.data())
@settings(deadline=None, max_examples=60)
def test_what_is_reported_counts_in_just_the_windows_that_hold_it(
    path: Path, data: st.DataObject
) -> None:
    labels = data.draw(reported())
    time_ms = data.draw(moments(labels))
    (found,) = path(labels, [SpineRow("t1", time_ms)])
    for days in (1, 7, 30):
        newest_ms = time_ms - 7 * DAY_MS
        inside = [
            bool(row["is_fraud"])
            for row in labels
            if row["terminal_id"] == "t1"
            and whole(row["reported_at"]) <= time_ms
            and newest_ms - days * DAY_MS < time_of(row) <= newest_ms
        ]
        share = sum(inside) / len(inside) if inside else None
        assert found[f"count_{days}d_delayed_7d"] == len(inside)
        assert bits(found[f"is_fraud_mean_{days}d_delayed_7d"]) == bits(share)


@each_path
def test_a_label_counts_from_the_very_millisecond_of_its_report(path: Path) -> None:
    late = [label(1, 0, 9 * DAY_MS, is_fraud=True, terminal="t1")]
    times_ms = [7 * DAY_MS, 8 * DAY_MS, 9 * DAY_MS - 1, 9 * DAY_MS, 37 * DAY_MS - 1, 37 * DAY_MS]
    found = path(late, [SpineRow("t1", time_ms) for time_ms in times_ms])
    assert [row["count_30d_delayed_7d"] for row in found] == [0, 0, 0, 1, 1, 0]
    # It never was in the window of one day, which it had left before it was known.
    assert [row["count_1d_delayed_7d"] for row in found] == [0] * 6


@each_path
def test_a_label_reported_early_waits_for_its_window(path: Path) -> None:
    early = [label(1, 0, 0, is_fraud=True, terminal="t1")]
    times_ms = [0, 7 * DAY_MS - 1, 7 * DAY_MS, 8 * DAY_MS - 1, 8 * DAY_MS]
    found = path(early, [SpineRow("t1", time_ms) for time_ms in times_ms])
    assert [row["count_1d_delayed_7d"] for row in found] == [0, 0, 1, 1, 0]
    assert [row["is_fraud_mean_1d_delayed_7d"] for row in found] == [None, None, 1.0, 1.0, None]
