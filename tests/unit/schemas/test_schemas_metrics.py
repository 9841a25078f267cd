"""Metric names are unique and follow the conventions of what collects them."""

from __future__ import annotations

import re
from pathlib import Path

from headrace_schemas import metrics
from headrace_schemas.metrics import METRICS, Metric, MetricKind


def test_every_metric_that_is_declared_is_listed_once() -> None:
    declared = [value for value in vars(metrics).values() if isinstance(value, Metric)]
    assert len(declared) == len(METRICS) == len({metric.name for metric in METRICS})
    assert set(METRICS) == set(declared)


def test_names_carry_the_project_the_unit_and_total_for_counters() -> None:
    for metric in METRICS:
        assert re.fullmatch("headrace_[a-z_]+", metric.name)
        assert metric.unit in metric.name
        assert metric.name.endswith("_total") == (metric.kind is MetricKind.COUNTER)


def test_what_the_feature_operator_counts_is_declared() -> None:
    sources = Path(__file__).parents[3] / "streaming" / "operator" / "src" / "main"
    counted = {
        name
        for file in sources.rglob("*.java")
        for name in re.findall(r'counter\("(\w+)"\)', file.read_text())
    }
    assert len(counted) >= 4
    assert counted <= {metric.name for metric in METRICS}
