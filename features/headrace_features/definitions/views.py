"""Feature views: the units that are computed and stored."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from fractions import Fraction
from types import MappingProxyType

from headrace_features.definitions.aggregates import (
    Aggregate,
    Columns,
    Count,
    Kind,
    Quantile,
    Scalar,
)
from headrace_features.definitions.sources import Entity, EventSource, checked_name
from headrace_features.definitions.windows import Window, lookback_ms
from headrace_features.expressions.grammar import Expression, parse
from headrace_schemas.columns import ColumnType
from headrace_schemas.errors import ConfigurationError

#: Between the name of a view and that of its feature in flat tables: `card_activity__count_1d`.
SEPARATOR = "__"

_NUMBERS = (ColumnType.INT64, ColumnType.FLOAT64, ColumnType.BOOL)
_ALLOWED: Mapping[Kind, tuple[ColumnType, ...]] = {
    Kind.SUM: _NUMBERS,
    Kind.MEAN: _NUMBERS,
    Kind.MIN: (ColumnType.INT64, ColumnType.FLOAT64),
    Kind.MAX: (ColumnType.INT64, ColumnType.FLOAT64),
    Kind.VARIANCE: _NUMBERS,
    Kind.STDDEV: _NUMBERS,
    Kind.FIRST: tuple(ColumnType),
    Kind.LAST: tuple(ColumnType),
    Kind.DISTINCT: (ColumnType.INT64, ColumnType.STRING, ColumnType.BOOL),
    Kind.APPROX_DISTINCT: (ColumnType.INT64, ColumnType.STRING, ColumnType.BOOL),
    Kind.QUANTILE: (ColumnType.INT64,),
}
_NEVER_NULL = (Kind.SUM, Kind.DISTINCT, Kind.APPROX_DISTINCT)
_DOUBLES = (Kind.MEAN, Kind.VARIANCE, Kind.STDDEV, Kind.APPROX_DISTINCT)


@dataclass(frozen=True, slots=True)
class Feature:
    """One value of a view: an aggregate of one column over one window."""

    name: str
    kind: Kind
    column: str | None
    column_type: ColumnType | None
    window: Window
    exclude_current: bool
    default: Scalar | None
    type: ColumnType
    q: Fraction | None = None


@dataclass(frozen=True, slots=True)
class FeatureView:
    """Entity + source + filter + aggregates, versioned.

    ``derived`` adds columns computed from a row by the expression language; ``filter`` keeps the
    rows for which an expression is true. A change of what the view means needs a new ``version``.
    ``namespace`` is for Headrace: where the state is kept of a version that is made beside another.

    Raises:
        ConfigurationError: an unknown column, a column of the wrong type, a duplicate feature
            name or a bad expression; the message names what is allowed.
    """

    name: str
    version: int
    entity: Entity
    source: EventSource
    aggregates: Sequence[Aggregate]
    filter: str | None = None
    derived: Mapping[str, str] = field(default_factory=dict, hash=False)
    description: str = ""
    owner: str = ""
    tags: Mapping[str, str] = field(default_factory=dict, hash=False)
    namespace: str = field(default="", kw_only=True, repr=False)
    features: tuple[Feature, ...] = field(init=False, repr=False, compare=False)
    filter_expression: Expression | None = field(init=False, repr=False, compare=False)
    derived_expressions: Mapping[str, Expression] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Check every name, column and expression, and name the features."""
        checked_name("feature view", self.name)
        if isinstance(self.version, bool) or not isinstance(self.version, int) or self.version < 1:
            msg = f"feature view {self.name}: version={self.version!r}, expected 1, 2, 3, …"
            raise ConfigurationError(msg)
        object.__setattr__(self, "aggregates", tuple(self.aggregates))
        object.__setattr__(self, "derived", MappingProxyType(dict(self.derived)))
        object.__setattr__(self, "tags", MappingProxyType(dict(self.tags)))
        key = self.source.column(self.entity.join_key)
        if key.type not in (ColumnType.STRING, ColumnType.INT64) or key.nullable:
            msg = (
                f"feature view {self.name}: the join key {key.name!r} is {key.type}"
                f"{' or null' if key.nullable else ''}, expected string or int64 that is never null"
            )
            raise ConfigurationError(msg)
        self._parse_expressions()
        object.__setattr__(self, "features", tuple(self._expand()))
        if not self.features:
            msg = f"feature view {self.name} has no aggregates"
            raise ConfigurationError(msg)

    @property
    def column_types(self) -> dict[str, ColumnType]:
        """Columns that aggregates may use: those of the source and the derived ones."""
        types = {column.name: column.type for column in self.source.columns}
        types.update({name: expr.type for name, expr in self.derived_expressions.items()})
        return types

    @property
    def feature_names(self) -> tuple[str, ...]:
        """Names of the features, in the order of their declaration."""
        return tuple(feature.name for feature in self.features)

    @property
    def input_columns(self) -> tuple[str, ...]:
        """Columns of the source that are needed to compute the view, without duplicates."""
        source = self.source
        names = [self.entity.join_key, source.event_time, source.dedup_key]
        if source.available_at is not None:
            names.append(source.available_at)
        for expression in (self.filter_expression, *self.derived_expressions.values()):
            if expression is not None:
                names.extend(expression.columns)
        names.extend(f.column for f in self.features if f.column is not None)
        return tuple(dict.fromkeys(name for name in names if name not in self.derived))

    @property
    def lookback_ms(self) -> int | None:
        """How far before t an event can still matter to the view; None where there is no bound."""
        longest = 0
        for feature in self.features:
            span_ms = lookback_ms(feature.window)
            if span_ms is None:
                return None
            longest = max(longest, span_ms)
        return longest

    def feature(self, name: str) -> Feature:
        """The feature of that name."""
        for feature in self.features:
            if feature.name == name:
                return feature
        raise ConfigurationError.unknown(f"feature of {self.name}", name, self.feature_names)

    def select(self, *names: str) -> Selection:
        """Some of the view's features, for a service."""
        return Selection(self, tuple(self.feature(name).name for name in names))

    def _parse_expressions(self) -> None:
        types = {column.name: column.type for column in self.source.columns}
        parsed: dict[str, Expression] = {}
        for name, text in self.derived.items():
            checked_name("derived column", name)
            if name in types:
                msg = f"feature view {self.name}: the derived column {name!r} exists in the source"
                raise ConfigurationError(msg, hint="choose another name")
            parsed[name] = parse(text, types, f"feature view {self.name}, derived column {name}")
        types.update({name: expression.type for name, expression in parsed.items()})
        condition = None
        if self.filter is not None:
            condition = parse(self.filter, types, f"feature view {self.name}, filter")
            if condition.type is not ColumnType.BOOL:
                msg = f"feature view {self.name}: the filter is {condition.type}, expected bool"
                raise ConfigurationError(msg)
        object.__setattr__(self, "filter_expression", condition)
        object.__setattr__(self, "derived_expressions", MappingProxyType(parsed))

    def _expand(self) -> Iterable[Feature]:
        seen: set[str] = set()
        for aggregate in self.aggregates:
            for feature in _features(self, aggregate):
                if feature.name in seen:
                    msg = f"feature view {self.name} has two features named {feature.name}"
                    raise ConfigurationError(msg, hint="remove one of the two")
                seen.add(feature.name)
                yield feature


def _features(view: FeatureView, aggregate: Aggregate) -> Iterable[Feature]:
    columns: tuple[str | None, ...]
    if isinstance(aggregate, Count):
        columns = (None,)
    elif isinstance(aggregate.column, Columns):
        columns = aggregate.column.names
    else:
        columns = (aggregate.column,)
    for window in aggregate.windows:
        for column in columns:
            column_type = None if column is None else _column_type(view, aggregate.kind, column)
            yield _feature(aggregate, column, column_type, window)


def _column_type(view: FeatureView, kind: Kind, name: str) -> ColumnType:
    types = view.column_types
    if name not in types:
        raise ConfigurationError.unknown(
            f"column in {kind} of feature view {view.name}", name, types
        )
    if types[name] not in _ALLOWED[kind]:
        allowed = ", ".join(_ALLOWED[kind])
        msg = f"feature view {view.name}: {kind} of {name!r}, which is {types[name]}"
        raise ConfigurationError(msg, hint=f"{kind} takes {allowed}")
    return types[name]


def _feature(
    aggregate: Aggregate, column: str | None, column_type: ColumnType | None, window: Window
) -> Feature:
    kind = aggregate.kind
    q = aggregate.exact_q if isinstance(aggregate, Quantile) else None
    default = None if isinstance(aggregate, Count) else aggregate.default
    result = _result_type(kind, column_type)
    return Feature(
        name=_feature_name(kind, column, window, q, exclude_current=aggregate.exclude_current),
        kind=kind,
        column=column,
        column_type=column_type,
        window=window,
        exclude_current=aggregate.exclude_current,
        default=_checked_default(kind, default, result),
        type=result,
        q=q,
    )


def _feature_name(
    kind: Kind, column: str | None, window: Window, q: Fraction | None, *, exclude_current: bool
) -> str:
    """The one rule of names: column, aggregate, window, delay, and what is left out."""
    verb = str(kind) if q is None else "p" + _percent(q)
    parts = [column, verb, window.label, "excluding_current" if exclude_current else None]
    return "_".join(part for part in parts if part)


def _percent(q: Fraction) -> str:
    """A quantile in percent without an exponent: 1/2 is "50", 0.999 is "99_9"."""
    digits = f"{Decimal(100) * q.numerator / q.denominator:f}"
    return (digits.rstrip("0").rstrip(".") if "." in digits else digits).replace(".", "_")


def _result_type(kind: Kind, column_type: ColumnType | None) -> ColumnType:
    if kind in _DOUBLES:
        return ColumnType.FLOAT64
    if column_type is None or kind is Kind.DISTINCT:
        return ColumnType.INT64
    if kind is Kind.SUM and column_type is ColumnType.BOOL:
        return ColumnType.INT64
    return column_type


def _checked_default(kind: Kind, default: Scalar | None, wanted: ColumnType) -> Scalar | None:
    if default is None:
        return None
    if kind in _NEVER_NULL:
        msg = f"{kind} of no events is 0, the default {default!r} would never be used"
        raise ConfigurationError(msg, hint="remove the default")
    python_type = {
        ColumnType.INT64: int,
        ColumnType.FLOAT64: float,
        ColumnType.STRING: str,
        ColumnType.BOOL: bool,
    }[wanted]
    if wanted is ColumnType.FLOAT64 and type(default) is int:
        return float(default)
    if type(default) is not python_type:
        msg = f"the default {default!r} is {type(default).__name__}, the feature is {wanted}"
        raise ConfigurationError(msg)
    return default


@dataclass(frozen=True, slots=True)
class Selection:
    """Some features of a view."""

    view: FeatureView
    names: tuple[str, ...]
