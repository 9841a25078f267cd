"""On-demand views: values computed when they are asked for, of features and of the request."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType

from headrace_features.definitions.sources import EventSource, checked_name
from headrace_features.definitions.views import SEPARATOR, FeatureView, Selection
from headrace_features.expressions.grammar import Expression, parse
from headrace_schemas.columns import ColumnType
from headrace_schemas.errors import ConfigurationError

#: Columns of a request or a spine that mean something already, and so can't be declared.
RESERVED = ("as_of", "current_event", "event_time", "event_timestamp", "freshness")

_PYTHON_TYPES = {
    int: ColumnType.INT64,
    float: ColumnType.FLOAT64,
    str: ColumnType.STRING,
    bool: ColumnType.BOOL,
}


@dataclass(frozen=True, slots=True)
class OnDemandFeature:
    """One value of an on-demand view: a row expression over the request and features."""

    name: str
    expression: Expression

    @property
    def type(self) -> ColumnType:
        """What the value is."""
        return self.expression.type


@dataclass(frozen=True, slots=True)
class OnDemandView:
    """Values computed for each request from features of views and from what the request brings.

    Nothing of them is stored. ``inputs`` are the views, or selections of them, whose features may
    be used, named ``view__feature``; ``request`` names the columns that each request, and each row
    of a spine, brings, with their types; ``features`` are row expressions over both. A value that
    leaves int64 or the finite doubles is null, and so is a double of the request that isn't finite.
    A change of what the view means needs a new ``version``.

    Raises:
        ConfigurationError: an unknown name, a type that doesn't fit, or two things of one name;
            the message names what is allowed.
    """

    name: str
    version: int
    inputs: Sequence[FeatureView | Selection]
    features: Mapping[str, str] = field(hash=False)
    request: Mapping[str, ColumnType | type] = field(default_factory=dict, hash=False)
    description: str = ""
    owner: str = ""
    tags: Mapping[str, str] = field(default_factory=dict, hash=False)
    selections: tuple[Selection, ...] = field(init=False, repr=False, compare=False)
    request_types: Mapping[str, ColumnType] = field(init=False, repr=False, compare=False)
    computed: tuple[OnDemandFeature, ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Check every name, type and expression."""
        checked_name("on-demand view", self.name)
        if isinstance(self.version, bool) or not isinstance(self.version, int) or self.version < 1:
            msg = f"{self._where}: version={self.version!r}, expected 1, 2, 3, …"
            raise ConfigurationError(msg)
        object.__setattr__(self, "inputs", tuple(self.inputs))
        object.__setattr__(self, "features", MappingProxyType(dict(self.features)))
        object.__setattr__(self, "request", MappingProxyType(dict(self.request)))
        object.__setattr__(self, "tags", MappingProxyType(dict(self.tags)))
        object.__setattr__(self, "selections", tuple(self._selections()))
        types = {name: self._request_type(name, kind) for name, kind in self.request.items()}
        object.__setattr__(self, "request_types", MappingProxyType(types))
        object.__setattr__(self, "computed", tuple(self._computed()))
        if not self.computed:
            raise ConfigurationError(f"{self._where} has no features")

    @property
    def column_types(self) -> dict[str, ColumnType]:
        """What expressions may use: the request's columns, and features as ``view__feature``."""
        types = dict(self.request_types)
        for selection in self.selections:
            for name in selection.names:
                types[_column(selection.view, name)] = selection.view.feature(name).type
        return types

    @property
    def feature_names(self) -> tuple[str, ...]:
        """Names of the features, in the order of their declaration."""
        return tuple(self.features)

    def feature(self, name: str) -> OnDemandFeature:
        """The feature of that name."""
        for feature in self.computed:
            if feature.name == name:
                return feature
        raise ConfigurationError.unknown(f"feature of {self.name}", name, self.feature_names)

    def select(self, *names: str) -> OnDemandSelection:
        """Some of the view's features, for a service."""
        return OnDemandSelection(self, tuple(self.feature(name).name for name in names))

    def reads(self, names: Iterable[str]) -> tuple[Selection, ...]:
        """The features of other views that some of these features are computed from."""
        wanted = {column for name in names for column in self.feature(name).expression.columns}
        found = (
            (one.view, tuple(name for name in one.names if _column(one.view, name) in wanted))
            for one in self.selections
        )
        return tuple(Selection(view, read) for view, read in found if read)

    @property
    def _where(self) -> str:
        return f"on-demand view {self.name}"

    def _selections(self) -> Iterable[Selection]:
        names = []
        for entry in self.inputs:
            if not isinstance(entry, FeatureView | Selection):
                msg = f"{self._where}: the input {entry!r} is {type(entry).__name__}"
                raise ConfigurationError(msg, hint="name feature views, or selections of them")
            one = entry.select(*entry.feature_names) if isinstance(entry, FeatureView) else entry
            names.append(one.view.name)
            yield one
        if not names or len(set(names)) < len(names) or self.name in names:
            msg = f"{self._where} has the inputs {', '.join(names) or 'none'}"
            raise ConfigurationError(msg, hint="name at least one view, each once, and not itself")

    def _request_type(self, name: str, kind: ColumnType | type) -> ColumnType:
        checked_name("request column", name)
        if name in RESERVED:
            msg = f"{self._where}: the request column {name!r} has a meaning of its own"
            raise ConfigurationError(msg, hint=f"not to be declared: {', '.join(RESERVED)}")
        keys = {one.view.entity.join_key for one in self.selections}
        if name in keys:
            msg = f"{self._where}: the request column {name!r} is the join key of an input"
            raise ConfigurationError(msg, hint="every request has it, leave it out")
        found = kind if isinstance(kind, ColumnType) else _PYTHON_TYPES.get(kind)
        if found is None:
            msg = f"{self._where}: the request column {name!r} is {kind!r}"
            hint = f"use {', '.join(t.__name__ for t in _PYTHON_TYPES)}, or a ColumnType"
            raise ConfigurationError(msg, hint=hint)
        return found

    def _computed(self) -> Iterable[OnDemandFeature]:
        types = self.column_types
        for name, text in self.features.items():
            checked_name("feature", name)
            if name in self.request:
                msg = f"{self._where} has a feature and a request column named {name}"
                raise ConfigurationError(msg, hint="rename one of them")
            expression = parse(text, types, f"{self._where}, feature {name}")
            if not expression.columns:
                msg = f"{self._where}, feature {name}: {text!r} is the same for every request"
                hint = f"use one of {', '.join(sorted(types))}"
                raise ConfigurationError(msg, hint=hint)
            yield OnDemandFeature(name, expression)


def _column(view: FeatureView, feature: str) -> str:
    return f"{view.name}{SEPARATOR}{feature}"


@dataclass(frozen=True, slots=True)
class OnDemandSelection:
    """Some features of an on-demand view."""

    view: OnDemandView
    names: tuple[str, ...]

    @property
    def reads(self) -> tuple[Selection, ...]:
        """The features of other views that these are computed from."""
        return self.view.reads(self.names)


#: What can be asked for: features that are kept, and features that are computed on demand.
AnySelection = Selection | OnDemandSelection


def read_for(asked: Iterable[AnySelection]) -> tuple[Selection, ...]:
    """The features that are kept among those asked for, and those that others are made of.

    A view that is asked for itself is read by that definition also for what is made of it.
    """
    asked = tuple(asked)
    given = {one.view.name: one.view for one in asked if isinstance(one, Selection)}
    views: dict[str, FeatureView] = {}
    names: dict[str, dict[str, None]] = {}
    for selection in asked:
        own = selection.reads if isinstance(selection, OnDemandSelection) else (selection,)
        for one in own:
            views.setdefault(one.view.name, given.get(one.view.name, one.view))
            names.setdefault(one.view.name, {}).update(dict.fromkeys(one.names))
    return tuple(Selection(view, tuple(names[name])) for name, view in views.items())


def sources_of(asked: Iterable[AnySelection]) -> dict[str, EventSource]:
    """The sources of whose events that is made which is asked for, by name."""
    return {one.view.source.name: one.view.source for one in read_for(asked)}


def request_types(asked: Iterable[AnySelection]) -> dict[str, ColumnType]:
    """What requests, and the rows of a spine, have to bring for what is asked for."""
    types: dict[str, ColumnType] = {}
    for selection in asked:
        if isinstance(selection, OnDemandSelection):
            types.update(selection.view.request_types)
    return types
