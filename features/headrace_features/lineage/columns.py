"""Which columns of its source a feature is made of, and how: exact, as its view declares it."""

from __future__ import annotations

from collections.abc import Iterator
from enum import StrEnum
from typing import NamedTuple

from headrace_features.definitions.aggregates import Kind
from headrace_features.definitions.views import Feature, FeatureView


class Use(StrEnum):
    """How a column counts, by OpenLineage's names of transformations."""

    AGGREGATED = "AGGREGATION"
    CHOSEN = "IDENTITY"
    GROUPS = "GROUP_BY"
    WINDOWS = "WINDOW"
    ORDERS = "SORT"
    FILTERS = "FILTER"

    @property
    def is_direct(self) -> bool:
        """Whether values of the column are in the feature; else it only decides which are."""
        return self in {Use.AGGREGATED, Use.CHOSEN}


class ColumnUse(NamedTuple):
    """One column of a source, how it counts, and what is done with it in words."""

    column: str
    use: Use
    told: str


def column_uses(view: FeatureView, feature: Feature) -> tuple[ColumnUse, ...]:
    """All columns of the source on which the value of a feature depends, each use once."""
    return tuple(dict.fromkeys(_uses(view, feature)))


def _uses(view: FeatureView, feature: Feature) -> Iterator[ColumnUse]:
    source = view.source
    yield from _of_value(view, feature)
    yield ColumnUse(view.entity.join_key, Use.GROUPS, f"by {view.entity.name}")
    yield ColumnUse(source.event_time, Use.WINDOWS, feature.window.label or "all events")
    if view.filter is not None and view.filter_expression is not None:
        for name in view.filter_expression.columns:
            for column in _in_source(view, name):
                yield ColumnUse(column, Use.FILTERS, " ".join(view.filter.split()))
    if source.available_at is not None:
        yield ColumnUse(source.available_at, Use.FILTERS, "known by then")
    if feature.exclude_current:
        yield ColumnUse(source.dedup_key, Use.FILTERS, "without the event that is decided")


def _of_value(view: FeatureView, feature: Feature) -> Iterator[ColumnUse]:
    """The column that is aggregated, and what chooses the row where one is."""
    if feature.column is None:
        return
    chosen = feature.kind in {Kind.FIRST, Kind.LAST}
    told = f"{feature.kind} of {feature.column}"
    expression = view.derived.get(feature.column)
    if expression is not None:
        told += f" = {' '.join(expression.split())}"
    for column in _in_source(view, feature.column):
        yield ColumnUse(column, Use.CHOSEN if chosen else Use.AGGREGATED, told)
    if chosen:
        for column in (view.source.event_time, view.source.dedup_key):
            yield ColumnUse(column, Use.ORDERS, f"the {feature.kind} row")


def _in_source(view: FeatureView, name: str) -> tuple[str, ...]:
    """The columns of the source that a column of the view is made of."""
    derived = view.derived_expressions.get(name)
    return (name,) if derived is None else tuple(derived.columns)
