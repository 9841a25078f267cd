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
from headrace_features.feast_plugin.entity_rows import join_key_of, native_keys, native_values
from headrace_features.feast_plugin.objects import is_ours
from headrace_features.feast_plugin.responses import (
    ExactResponse,
    event_time_ms,
    fill,
    fill_freshness,
    fill_version,
    integer_columns,
)
from headrace_features.online.serving import ServedView, ViewAnswer, ViewQuery
from headrace_features.online.store import NO_LAYERS

if TYPE_CHECKING:
    from collections.abc import Callable

    from feast import FeatureView


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
        key_types: Feast's types of the join keys, also of those that no view asks for.
        entity_names: the join keys by what Feast once called their columns.
        feature_types: Feast's types of the features.
        integers: the columns in the response that have integers.
    """

    context: Any
    views: tuple[NativeView, ...]
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
    _, on_demand, entity_names, entity_types, join_keys, grouped, _, request_data, _ = context
    if on_demand or request_data:
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
    return NativeRequest(context, tuple(views), key_types, entity_names, types, integers)


def keys_of(request: NativeRequest, rows: Mapping[str, Sequence[Any]]) -> dict[str, list[Any]]:
    """The values of the join keys that entity rows have, as they are kept, in the rows' order.

    As in Feast's answers, those of other entities are among them.

    Raises:
        BadRecordError: a view's key is missing or null, or a value is of another type.
    """
    given = _join_keys(request, rows)
    keys: dict[str, list[Any]] = {}
    for one in request.views:
        key = one.join_key
        if key not in keys:
            keys[key] = native_keys(one.name, key, given.get(key), request.key_types[key])
    if len(keys) == len(given):
        return {key: keys[key] for key in given}
    return {
        key: keys[key] if key in keys else native_values(key, values, request.key_types[key])
        for key, values in given.items()
    }


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
    return given


class NativeResponse(ExactResponse):
    """Answers of our views; as protocol buffers only once somebody asks for those."""

    def __init__(  # noqa: PLR0913 - a response has what it was made of
        self,
        request: NativeRequest,
        keys: Mapping[str, Sequence[Any]],
        queries: Sequence[ViewQuery],
        answers: Sequence[ViewAnswer],
        *,
        freshness: bool,
        versions: bool,
    ) -> None:
        self._request = request
        self._keys = keys
        self._queries = queries
        self._answers = answers
        self._freshness = freshness
        self._versions = versions
        self._feature_types = request.feature_types
        self._integers = request.integers
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
        if self._freshness or self._proto is not None:
            return super().to_dict(include_event_timestamps)
        columns: dict[str, Any] = {}
        for name, values in self._keys.items():
            columns[name] = list(values)
            if include_event_timestamps:
                columns[name + TIMESTAMP_POSTFIX] = [0] * len(values)
        for one, answered in zip(self._request.views, self._answers, strict=True):
            rows = [answer.values for answer in answered.answers]
            seconds = max(event_time_ms(answered.layers), 0) // 1000
            found: Iterable[Sequence[Any]] = zip(*rows, strict=True)
            if answered.layers == NO_LAYERS:
                found = [[None] * len(rows)] * len(one.columns)
            for name, column in zip(one.columns, found, strict=True):
                columns[name] = list(column)
                if include_event_timestamps:
                    columns[name + TIMESTAMP_POSTFIX] = [seconds] * len(rows)
        return columns

    def _made(self) -> GetOnlineFeaturesResponse:
        response = GetOnlineFeaturesResponse(results=[])
        feast_utils._populate_result_rows_from_columnar(  # noqa: SLF001 - no public one
            online_features_response=response,
            data={
                name: python_values_to_proto_values(list(values), self._request.key_types[name])
                for name, values in self._keys.items()
            },
        )
        asked = list(zip(self._request.views, self._queries, self._answers, strict=True))
        for one, query, answered in asked:
            fill(response, one.prefix, query, answered)
            if self._versions:
                fill_version(response, one.table)
        if self._freshness:
            for one, query, answered in asked:
                fill_freshness(response, one.name, query, answered)
        return response
