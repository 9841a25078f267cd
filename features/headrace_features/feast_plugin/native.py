"""Requests for our views alone, answered without protocol buffers unless somebody wants them.

Feast makes a message of each value and then a Python object of each message, which takes longer
than reading and merging the state. What a request for certain features means is looked up once.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from feast import ValueType
from feast import utils as feast_utils
from feast.online_response import TIMESTAMP_POSTFIX
from feast.protos.feast.serving.ServingService_pb2 import GetOnlineFeaturesResponse
from feast.type_map import python_values_to_proto_values

from headrace_features.definitions.views import SEPARATOR
from headrace_features.feast_plugin.entity_rows import (
    FRESHNESS,
    RESERVED,
    freshness_wanted,
    join_key_of,
    moments_of,
    native_keys,
    native_values,
    require_not_misspelt,
)
from headrace_features.feast_plugin.objects import is_ours
from headrace_features.feast_plugin.on_demand_reading import fill_computed
from headrace_features.feast_plugin.responses import (
    ExactResponse,
    event_time_ms,
    fill,
    fill_freshness,
    fill_version,
    integer_columns,
)
from headrace_features.online.layers import NO_LAYERS
from headrace_features.online.served import Query, ServedView, ViewQuery
from headrace_features.online.serving import ViewAnswer

if TYPE_CHECKING:
    from collections.abc import Callable

    from feast import FeatureView, OnDemandFeatureView

    from headrace_features.feast_plugin.on_demand_reading import (
        Computed,
        OnDemandReading,
        OnDemandViews,
    )


@dataclass(frozen=True, slots=True)
class NativeView:
    """One view of a request.

    Attributes:
        view: the features that are asked for.
        table: the view as Feast knows it.
        name: of the view, or its alias.
        join_key: the column of the entity rows that has the keys.
        prefix: stands before the name of each feature.
        columns: names in the response, in the order of the features.
    """

    view: ServedView
    table: FeatureView
    name: str
    join_key: str
    prefix: str
    columns: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class NativeRequest:
    """What a request asks for, whatever its rows.

    Attributes:
        context: as Feast has resolved it; it holds as long as Feast holds on to that.
        views: all of them ours.
        on_demand: the on-demand views that are asked for, all of them ours, as Feast knows them.
        references: "view:feature" for everything that is asked for.
        brought: the columns that these take from the request.
        full_names: whether features are named with their view.
        key_types: Feast's types of the join keys, also of those that no view asks for.
        entity_names: the join keys by what Feast once called their columns.
        feature_types: Feast's types of the features.
        integers: the columns in the response that have integers.
    """

    context: Any
    views: tuple[NativeView, ...]
    on_demand: tuple[OnDemandFeatureView, ...]
    references: tuple[str, ...]
    brought: frozenset[str]
    full_names: bool
    key_types: Mapping[str, ValueType]
    entity_names: Mapping[str, str]
    feature_types: dict[str, ValueType]
    integers: frozenset[str]


def native_request(
    context: Any,
    served: Callable[[FeatureView, frozenset[str]], ServedView],
    feature_types: Callable[[Any], dict[str, ValueType]],
    *,
    full_feature_names: bool,
) -> NativeRequest | None:
    """A request as Feast has resolved it; None if it needs Feast for more than that."""
    references, on_demand, entity_names, entity_types, join_keys, grouped, _, brought, _ = context
    if not all(map(is_ours, on_demand)) or not RESERVED.isdisjoint({*join_keys, *brought}):
        return None
    views = []
    for table, names in grouped:
        if not is_ours(table):
            return None
        view = served(table, frozenset(names))
        name = table.projection.name_to_use()
        prefix = f"{name}{SEPARATOR}" if full_feature_names else ""
        columns = tuple(prefix + feature.name for feature in view.asked.features)
        join_key = join_key_of(table, view.view.entity.join_key)
        views.append(NativeView(view, table, name, join_key, prefix, columns))
    key_types = {key: entity_types.get(key, ValueType.UNKNOWN) for key in join_keys}
    integers = frozenset(
        column for one in views for column in integer_columns(one.prefix, one.view.asked.features)
    )
    types = feature_types(grouped)
    return NativeRequest(
        context,
        tuple(views),
        tuple(on_demand),
        tuple(references),
        frozenset(brought),
        full_feature_names,
        key_types,
        entity_names,
        types,
        integers,
    )


@dataclass(frozen=True, slots=True)
class NativeReading:
    """A request with its rows.

    Attributes:
        request: what is asked for.
        rows: how many there are.
        keys: the values of the join keys that the rows have, as they are kept. As in Feast's
            answers, those of other entities are among them.
        queries: what is asked of each view, and then of those that on-demand features read beside.
        computed: what is wanted of on-demand views; None without any.
        freshness: whether to say how fresh values are.
    """

    request: NativeRequest
    rows: int
    keys: Mapping[str, Sequence[Any]]
    queries: Sequence[ViewQuery]
    computed: OnDemandReading | None
    freshness: bool


def reading_of(
    request: NativeRequest,
    on_demand: OnDemandViews,
    columns: Mapping[str, Sequence[Any]],
    now_ms: int,
) -> NativeReading:
    """What is to be read for the rows of a request.

    Args:
        request: what is asked for.
        on_demand: ours.
        columns: of the entity rows.
        now_ms: the time of rows that name none.

    Raises:
        BadRecordError: a view's key is missing or null, or a value is of another type.
        RequestDataNotFoundInEntityRowsException: the rows lack what on-demand features take.
        ConfigurationError: an on-demand view doesn't mean what was registered.
    """
    rows = len(next(iter(columns.values())))
    given = _join_keys(request, columns)
    moments = moments_of(columns, rows, now_ms)
    keys: dict[str, list[Any]] = {}
    asked: dict[str, list[Query]] = {}

    def queries(view: str, key: str) -> list[Query]:
        if key not in asked:
            keys[key] = native_keys(view, key, given.get(key), request.key_types[key])
            asked[key] = list(map(Query, keys[key], *moments))
        return asked[key]

    wanted = [ViewQuery(one.view, queries(one.name, one.join_key)) for one in request.views]
    computed = None
    if request.on_demand:
        there = {name: list(columns[name]) for name in request.brought if name in columns}
        feast_utils.ensure_request_data_values_exist(set(request.brought), there)
        computed = on_demand.reading(
            request.on_demand, request.references, columns, full_feature_names=request.full_names
        )
        wanted += computed.beside(wanted, lambda view: queries(view.name, view.entity.join_key))
    return NativeReading(
        request,
        rows,
        {
            key: keys[key] if key in keys else native_values(key, values, request.key_types[key])
            for key, values in given.items()
        },
        wanted,
        computed,
        freshness_wanted(columns.get(FRESHNESS)),
    )


def _join_keys(
    request: NativeRequest, rows: Mapping[str, Sequence[Any]]
) -> dict[str, Sequence[Any]]:
    """The columns of rows that are join keys."""
    given = {}
    for name, values in rows.items():
        if name in request.key_types:
            given[name] = values
        elif name in request.entity_names:
            warnings.warn("Using entity name is deprecated. Use join_key instead.", stacklevel=2)
            given[request.entity_names[name]] = values
        elif name not in request.brought:
            require_not_misspelt(name)
    return given


class NativeResponse(ExactResponse):
    """Answers of our views; as protocol buffers only once somebody asks for those."""

    def __init__(
        self, reading: NativeReading, answers: Sequence[ViewAnswer], *, versions: bool
    ) -> None:
        """Take what was read.

        Args:
            reading: what was asked for.
            answers: to its queries.
            versions: whether to say which version of each view it is.
        """
        self._reading = reading
        self._answers = answers
        self._versions = versions
        self._feature_types = reading.request.feature_types
        self._integers = reading.request.integers
        if reading.computed is not None:
            self._integers |= frozenset(reading.computed.integers)
        self._proto: GetOnlineFeaturesResponse | None = None

    @property
    def proto(self) -> GetOnlineFeaturesResponse:  # type: ignore[override] # read, never set
        """The response as Feast's message."""
        if self._proto is None:
            self._proto = self._made()
        return self._proto

    def to_dict(
        self,
        include_event_timestamps: bool = False,  # noqa: FBT001, FBT002 - Feast's signature
    ) -> dict[str, Any]:
        """The values of each column, keys first."""
        reading = self._reading
        if reading.freshness or self._proto is not None:
            return super().to_dict(include_event_timestamps)
        columns: dict[str, Any] = {}
        for name, values in reading.keys.items():
            columns[name] = list(values)
            if include_event_timestamps:
                columns[name + TIMESTAMP_POSTFIX] = [0] * len(values)
        # What on-demand features read beside comes after these, and isn't shown.
        for one, answered in zip(reading.request.views, self._answers, strict=False):
            rows = [answer.values for answer in answered.answers]
            seconds = max(event_time_ms(answered.layers), 0) // 1000
            found: Iterable[Sequence[Any]] = zip(*rows, strict=True)
            if answered.layers == NO_LAYERS:
                found = [[None] * len(rows)] * len(one.columns)
            for name, column in zip(one.columns, found, strict=True):
                columns[name] = list(column)
                if include_event_timestamps:
                    columns[name + TIMESTAMP_POSTFIX] = [seconds] * len(rows)
        for computed in self._computed():
            columns[computed.column] = computed.values
            if include_event_timestamps:
                columns[computed.column + TIMESTAMP_POSTFIX] = [0] * len(computed.values)
        return columns

    def _computed(self) -> Iterable[Computed]:
        reading = self._reading
        if reading.computed is None:
            return ()
        return reading.computed.computed(reading.queries, self._answers, reading.rows)

    def _made(self) -> GetOnlineFeaturesResponse:
        reading = self._reading
        request = reading.request
        response = GetOnlineFeaturesResponse(results=[])
        feast_utils._populate_result_rows_from_columnar(  # noqa: SLF001 - no public one
            online_features_response=response,
            data={
                name: python_values_to_proto_values(list(values), request.key_types[name])
                for name, values in reading.keys.items()
            },
        )
        asked = list(zip(request.views, reading.queries, self._answers, strict=False))
        for one, query, answered in asked:
            fill(response, one.prefix, query, answered)
            if self._versions:
                fill_version(response, one.table)
        fill_computed(response, self._computed())
        if reading.freshness:
            for one, query, answered in asked:
                fill_freshness(response, one.name, query, answered)
        return response
