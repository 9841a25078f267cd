"""What every feature means, in plain Python: slow, obvious, and the measure of every engine.

Each value is computed from nothing: all events are looked at again for each row of the spine.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction

from headrace_features.definitions.aggregates import Kind, Scalar
from headrace_features.definitions.views import Feature, FeatureView
from headrace_features.definitions.windows import Session
from headrace_features.expressions.rows import evaluate
from headrace_features.numbers import checked_int64, exact_sum, to_double
from headrace_features.sketches.quantiles import bucket_middle, bucket_of, rank_of
from headrace_features.sketches.theta import estimate_of
from headrace_schemas.columns import ColumnType

Value = Scalar | None
Row = Mapping[str, Value]


@dataclass(frozen=True, slots=True)
class SpineRow:
    """An entity at a time (ms UTC), and the dedup key of the event being decided, if any."""

    key: str | int
    time_ms: int
    current: str | None = None


@dataclass(frozen=True, slots=True)
class _Event:
    time_ms: int
    dedup: bytes
    available_ms: int
    row: Row


def values(view: FeatureView, events: Iterable[Row], spine: Sequence[SpineRow]) -> list[Row]:
    """The features of a view for each row of a spine.

    Args:
        view: the definition.
        events: rows of the view's source in the order in which they were appended; of those
            with the same dedup key the first counts.
        spine: the rows asked for, in any order.

    Returns:
        One mapping from feature name to value for each row of the spine, in its order.

    Raises:
        BadRecordError: a sum of integers outside int64.
    """
    by_key = _events_by_key(view, events)
    return [
        {
            feature.name: value_of(feature, by_key.get(row.key, ()), row.time_ms, row.current)
            for feature in view.features
        }
        for row in spine
    ]


def _events_by_key(view: FeatureView, rows: Iterable[Row]) -> dict[Value, list[_Event]]:
    source = view.source
    by_key: dict[Value, list[_Event]] = {}
    seen: set[Value] = set()
    for row in rows:
        if row[source.dedup_key] in seen:
            continue
        seen.add(row[source.dedup_key])
        full = dict(row)
        for name, expression in view.derived_expressions.items():
            full[name] = evaluate(expression.node, row)
        condition = view.filter_expression
        if condition is not None and evaluate(condition.node, full) is not True:
            continue
        event = _Event(
            time_ms=_integer(full[source.event_time]),
            dedup=str(full[source.dedup_key]).encode(),
            available_ms=_integer(full[source.available_at or source.event_time]),
            row=full,
        )
        by_key.setdefault(full[view.entity.join_key], []).append(event)
    return by_key


def _integer(value: Value) -> int:
    if not isinstance(value, int):
        message = f"expected a time in ms, found {value!r}"
        raise TypeError(message)
    return value


def value_of(
    feature: Feature, events: Iterable[_Event], time_ms: int, current: str | None = None
) -> Value:
    """One feature of one entity at a time, from all events of that entity."""
    inside = _counting(feature, events, time_ms, current)
    if feature.kind is Kind.COUNT:
        return len(inside)
    column = str(feature.column)
    if feature.kind in (Kind.FIRST, Kind.LAST):
        if not inside:
            return feature.default
        return inside[0 if feature.kind is Kind.FIRST else -1].row[column]
    found = [value for event in inside if (value := event.row[column]) is not None]
    result = _AGGREGATES[feature.kind](found, feature)
    return feature.default if result is None else result


def rows_of(
    view: FeatureView, feature: Feature, events: Iterable[Row], spine: SpineRow
) -> list[Row]:
    """The events that the value of a feature is made of, in their order, with derived columns."""
    of_entity = _events_by_key(view, events).get(spine.key, ())
    counting = _counting(feature, of_entity, spine.time_ms, spine.current)
    return [event.row for event in counting]


def _counting(
    feature: Feature, events: Iterable[_Event], time_ms: int, current: str | None
) -> list[_Event]:
    """The events of an entity that count at a time, in their order."""
    known = [event for event in events if event.available_ms <= time_ms]
    if feature.exclude_current and current is not None:
        known = [event for event in known if event.dedup != current.encode()]
    return sorted(_inside(feature, known, time_ms), key=lambda e: (e.time_ms, e.dedup))


def _inside(feature: Feature, events: list[_Event], time_ms: int) -> list[_Event]:
    window = feature.window
    if not isinstance(window, Session):
        first_ms, last_ms = window.span(time_ms)
        return [event for event in events if first_ms <= event.time_ms <= last_ms]
    end_ms = time_ms - window.delay_ms
    newest_first = sorted(
        (event for event in events if event.time_ms <= end_ms), key=lambda e: -e.time_ms
    )
    chain: list[_Event] = []
    edge_ms = end_ms
    for event in newest_first:
        if edge_ms - event.time_ms > window.gap_ms:
            break
        chain.append(event)
        edge_ms = event.time_ms
    return chain


def _sum(found: Sequence[Scalar], feature: Feature) -> Value:
    total = exact_sum(map(_number, found))
    if feature.type is ColumnType.FLOAT64:
        return to_double(total)
    return checked_int64(int(total), feature.name)


def _mean(found: Sequence[Scalar], feature: Feature) -> Value:
    return None if not found else to_double(_checked_total(found, feature)) / len(found)


def _variance(found: Sequence[Scalar], feature: Feature) -> float | None:
    n = len(found)
    if n < 2:  # noqa: PLR2004 - the sample variance of one value is undefined
        return None
    total = _checked_total(found, feature)
    squares = sum((Fraction(_number(value)) ** 2 for value in found), Fraction(0))
    return to_double(n * squares - total * total) / to_double(n * (n - 1))


def _stddev(found: Sequence[Scalar], feature: Feature) -> Value:
    variance = _variance(found, feature)
    return None if variance is None else math.sqrt(variance)


def _checked_total(found: Sequence[Scalar], feature: Feature) -> Fraction:
    total = exact_sum(map(_number, found))
    if feature.column_type is not ColumnType.FLOAT64:
        checked_int64(int(total), feature.name)
    return total


def _number(value: Scalar) -> int | float:
    if isinstance(value, str):
        message = f"expected a number, found {value!r}"
        raise TypeError(message)
    return value


def _signed(value: Scalar) -> tuple[float, float]:
    # -0.0 is below 0.0, so that the least and greatest value have one bit pattern.
    number = _number(value)
    return number, math.copysign(1.0, number)


def _min(found: Sequence[Scalar], feature: Feature) -> Value:
    del feature
    return min(found, key=_signed, default=None)


def _max(found: Sequence[Scalar], feature: Feature) -> Value:
    del feature
    return max(found, key=_signed, default=None)


def _distinct(found: Sequence[Scalar], feature: Feature) -> Value:
    del feature
    return len(set(found))


def _approx_distinct(found: Sequence[Scalar], feature: Feature) -> Value:
    del feature
    return estimate_of(value if isinstance(value, str) else int(value) for value in found)


def _quantile(found: Sequence[Scalar], feature: Feature) -> Value:
    if not found or feature.q is None:
        return None
    buckets = sorted(bucket_of(int(_number(value))) for value in found)
    return bucket_middle(buckets[rank_of(feature.q, len(buckets)) - 1])


_AGGREGATES: Mapping[Kind, Callable[[Sequence[Scalar], Feature], Value]] = {
    Kind.SUM: _sum,
    Kind.MEAN: _mean,
    Kind.MIN: _min,
    Kind.MAX: _max,
    Kind.VARIANCE: _variance,
    Kind.STDDEV: _stddev,
    Kind.DISTINCT: _distinct,
    Kind.APPROX_DISTINCT: _approx_distinct,
    Kind.QUANTILE: _quantile,
}
