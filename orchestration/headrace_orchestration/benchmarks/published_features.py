"""The twelve published features: as views, and as the windows of SQL."""

from __future__ import annotations

from headrace_features import Count, FeatureView, Mean, Sliding
from headrace_features.definitions.durations import parse_duration
from headrace_features.definitions.views import Feature
from headrace_features.fraud.definitions import card, labels, terminal, transactions

_SIZES = ("1d", "7d", "30d")

BY_CARD = FeatureView(
    name="by_card",
    version=1,
    entity=card,
    source=transactions,
    aggregates=[
        Count(windows=[Sliding(size) for size in _SIZES]),
        Mean("amount_minor", windows=[Sliding(size) for size in _SIZES]),
    ],
)
BY_TERMINAL = FeatureView(
    name="by_terminal",
    version=1,
    entity=terminal,
    source=labels,
    aggregates=[
        Count(windows=[Sliding(size, delay="7d") for size in _SIZES]),
        Mean("is_fraud", windows=[Sliding(size, delay="7d") for size in _SIZES]),
    ],
)
VIEWS = (BY_CARD, BY_TERMINAL)
#: All features, as Feast is asked for them.
REFERENCES = [f"{view.name}:{name}" for view in VIEWS for name in view.feature_names]


def sql(view: FeatureView, table: str) -> str:
    """The features of a view as window functions, for DuckDB and Spark SQL alike."""
    source = view.source
    keys = f"{source.dedup_key}, {view.entity.join_key}, {source.event_time}"
    columns = ",\n  ".join(
        f"{_aggregate(f)} OVER w{f.window.label} AS {f.name}" for f in view.features
    )
    windows = ",\n  ".join(
        f"w{window.label} AS (PARTITION BY {view.entity.join_key} ORDER BY {source.event_time} "
        f"RANGE BETWEEN {window.size_ms + window.delay_ms - 1} PRECEDING AND {_end(window)})"
        for window in dict.fromkeys(_sliding(f) for f in view.features)
    )
    return f"SELECT {keys},\n  {columns}\nFROM {table}\nWINDOW {windows}"


def _aggregate(feature: Feature) -> str:
    if feature.column is None:
        return "count(*)"
    return f"avg(CAST({feature.column} AS INT))"


def _sliding(feature: Feature) -> Sliding:
    if not isinstance(feature.window, Sliding):
        message = f"{feature.name} has no sliding window"
        raise TypeError(message)
    return feature.window


def _end(window: Sliding) -> str:
    delay_ms = parse_duration(window.delay)
    return f"{delay_ms} PRECEDING" if delay_ms else "CURRENT ROW"
