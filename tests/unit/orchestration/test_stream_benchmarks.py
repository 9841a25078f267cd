from __future__ import annotations

import math
from itertools import islice
from typing import Any

import pytest

from headrace_features import oracle
from headrace_features.decisions import fired
from headrace_features.fraud import definitions as fraud
from headrace_features.oracle import SpineRow
from headrace_orchestration.benchmarks.committed import Sample, steady_rate
from headrace_orchestration.benchmarks.latency import Schedule, latencies_ms, percentile
from headrace_orchestration.benchmarks.outputs import Output, require_equal
from headrace_orchestration.benchmarks.traffic import Traffic
from headrace_schemas.errors import HeadraceError

START_NS = 5_000_000_000


def test_an_event_is_due_when_the_schedule_says_so() -> None:
    schedule = Schedule(START_NS, rate=2_000)
    assert schedule.due_ns(0) == START_NS
    assert schedule.due_ns(1) == START_NS + 500_000
    assert schedule.due_ns(2_000) == START_NS + 1_000_000_000
    assert schedule.count_due(START_NS - 1) == 0
    assert schedule.count_due(START_NS) == 1
    assert schedule.count_due(START_NS + 499_999) == 1
    assert schedule.count_due(START_NS + 500_000) == 2


@pytest.mark.parametrize("rate", [1, 3, 7.5, 2_000, 6_250])
def test_what_is_counted_as_due_is_due(rate: float) -> None:
    schedule = Schedule(START_NS, rate)
    for number in range(100):
        assert schedule.count_due(schedule.due_ns(number)) == number + 1
        assert schedule.count_due(schedule.due_ns(number) - 1) == number


def test_latency_counts_from_the_intended_time_and_a_lost_answer_is_endless() -> None:
    due = {b"a": 1_000_000, b"b": 2_000_000, b"c": 3_000_000}
    readable = {b"b": 9_000_000, b"a": 4_500_000, b"other": 0}
    assert latencies_ms(due, readable) == ([3.5, 7.0, math.inf], 1)


def test_a_percentile_is_a_value_that_was_measured() -> None:
    values = [float(n) for n in range(1, 1001)]
    assert percentile(values, 0.5) == 500
    assert percentile(values, 0.99) == 990
    assert percentile(values, 0.999) == 999
    assert percentile(values, 1) == 1000
    assert percentile([3.0], 0.001) == 3
    assert math.isnan(percentile([], 0.5))


def test_a_rate_is_that_of_what_was_committed_after_the_warm_up() -> None:
    # 1,000 records and 8 markers; after the first 302 of these, 706 in 7 seconds.
    samples = [Sample(0, 0), Sample(5, 202), Sample(8, 302), Sample(9, 504), Sample(15, 1_008)]
    again = [*samples, Sample(16, 1_008), Sample(19, 1_008)]
    assert steady_rate(again, 1_000, 0.299) == pytest.approx(1_000 * 706 / 1_008 / 7)


def test_a_backlog_of_one_transaction_is_timed_from_the_beginning() -> None:
    assert steady_rate([Sample(2, 0), Sample(4, 102), Sample(7, 102)], 100, 0.3) == 50


def test_different_features_of_two_contenders_are_named() -> None:
    ours = Output(1, 1, {b"t": {"count_1h": 3, "mean": 0.1 + 0.2}})
    assert require_equal(ours, Output(1, 1, {b"t": {"count_1h": 3, "mean": 0.3}})) == 1
    with pytest.raises(HeadraceError, match="count_1h of t is 3 here and 4 at the peer"):
        require_equal(ours, Output(1, 1, {b"t": {"count_1h": 4, "mean": 0.3}}))


def test_decisions_that_are_missing_or_made_twice_are_an_error() -> None:
    Output(3, 3, {}).require_each_once(3, "it")
    for output in (Output(4, 3, {}), Output(2, 2, {})):
        with pytest.raises(HeadraceError, match="expected one on each of 3"):
            output.require_each_once(3, "it")


def test_alerts_that_are_said_to_be_certain_are_those_of_the_declared_rules() -> None:
    traffic = Traffic(cards=50, live=500)
    by_card: dict[str, list[dict[str, Any]]] = {}
    for record in traffic.history():
        if record.topic == fraud.transactions.topic:
            by_card.setdefault(record.key, []).append(_row(record.value))
    assert len(by_card) == 50
    certain = 0
    for event in islice(traffic.events(), 500):
        row = _row(event.value)
        seen = by_card[event.key.decode()]
        seen.append(row)
        if event.flagged is None:
            continue
        certain += 1
        assert event.flagged.decode() == row["transaction_id"]
        spine = SpineRow(row["card_id"], row["event_time"], row["transaction_id"])
        values = oracle.values(fraud.card_activity, seen, [spine])[0]
        features: dict[str, Any] = {f"card_activity__{k}": v for k, v in values.items()}
        features |= {f"terminal_risk__{name}": None for name in fraud.terminal_risk.feature_names}
        assert "impossible_travel" in fired(fraud.card_decisions, row, features)
    assert certain > 10


def _row(value: bytes) -> dict[str, Any]:
    event = fraud.transactions.codec.decode(value)
    return {name: getattr(event, name) for name in event.__struct_fields__}
