"""Values as Feast's protobuf responses."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import msgspec
import pandas as pd
from feast import ValueType
from feast.online_response import OnlineResponse
from feast.protos.feast.serving.ServingService_pb2 import FieldStatus, GetOnlineFeaturesResponse
from feast.protos.feast.types.Value_pb2 import Value as ValueProto
from google.protobuf.timestamp_pb2 import Timestamp

from headrace_features.definitions.views import SEPARATOR, Feature
from headrace_features.online.freshness import freshness_of
from headrace_features.online.layers import NO_LAYERS, Layers
from headrace_features.online.served import ViewQuery
from headrace_features.online.serving import Answer, ViewAnswer
from headrace_features.partials.partial import Value
from headrace_schemas.columns import ColumnType

if TYPE_CHECKING:
    from feast import FeatureView

#: What is appended to a view's name for the column that says how fresh its values are.
FRESHNESS_COLUMN = "freshness"

_FIELDS = {
    ColumnType.INT64: "int64_val",
    ColumnType.FLOAT64: "double_val",
    ColumnType.STRING: "string_val",
    ColumnType.BOOL: "bool_val",
}


class ExactResponse(OnlineResponse):
    """A response whose frames have our integers as they are, beside nulls too.

    A frame makes doubles of such a column by itself, and those have 53 bits. Histories have their
    integers in the same way.
    """

    def __init__(
        self,
        proto: GetOnlineFeaturesResponse,
        feature_types: dict[str, ValueType],
        integers: Iterable[str],
    ) -> None:
        """Take Feast's message.

        Args:
            proto: the values.
            feature_types: Feast's types of the features.
            integers: the columns of features of ours that are integers.
        """
        super().__init__(proto, feature_types)
        self._integers = frozenset(integers)

    def to_df(
        self,
        include_event_timestamps: bool = False,  # noqa: FBT001, FBT002 - Feast's signature
    ) -> pd.DataFrame:
        """The values of each column, keys first."""
        columns = self.to_dict(include_event_timestamps)
        for name in self._integers & columns.keys():
            if None in columns[name]:
                columns[name] = pd.array(columns[name], pd.Int64Dtype())
        return pd.DataFrame(columns)


def integer_columns(prefix: str, features: Iterable[Feature]) -> list[str]:
    """The columns of those features that are integers."""
    return [prefix + one.name for one in features if one.type is ColumnType.INT64]


def fill(
    response: GetOnlineFeaturesResponse, prefix: str, query: ViewQuery, answered: ViewAnswer
) -> None:
    """Add one column for each feature of a view to a response.

    A value whose window may lack events has the status OUTSIDE_MAX_AGE, also where nothing is held
    of the entity. A view without any layer has no values, and the status NOT_FOUND.

    Args:
        response: what is added to.
        prefix: stands before the name of each feature.
        query: what was asked of the view.
        answered: the rows.
    """
    written = Timestamp()
    written.FromMilliseconds(max(event_time_ms(answered.layers), 0))
    nothing = answered.layers == NO_LAYERS
    for at, feature in enumerate(query.view.asked.features):
        response.metadata.feature_names.val.append(prefix + feature.name)
        vector = response.results.add()
        for answer in answered.answers:
            value = None if nothing else answer.values[at]
            vector.values.append(value_proto(feature.type, value))
            status = read_status(answer, at, nothing=nothing)
            if value is None and status == FieldStatus.PRESENT:
                status = FieldStatus.NULL_VALUE
            vector.statuses.append(status)
        vector.event_timestamps.extend([written] * len(answered.answers))


def fill_freshness(
    response: GetOnlineFeaturesResponse, name: str, query: ViewQuery, answered: ViewAnswer
) -> None:
    """Add a column that says how fresh the values of a view are, as JSON."""
    response.metadata.feature_names.val.append(f"{name}{SEPARATOR}{FRESHNESS_COLUMN}")
    vector = response.results.add()
    for asked, answer in zip(query.queries, answered.answers, strict=True):
        found = freshness_of(answered, answer, asked.time_ms)
        vector.values.append(ValueProto(string_val=msgspec.json.encode(found).decode()))
        vector.statuses.append(FieldStatus.PRESENT)
        vector.event_timestamps.append(Timestamp())


def fill_version(response: GetOnlineFeaturesResponse, table: FeatureView) -> None:
    """Add the version of a view, as the registry counts them; an alias is told for its name."""
    known = response.metadata.feature_view_metadata
    name = table.projection.name_alias or table.projection.name
    if all(one.name != name for one in known):
        known.add(name=name, version=table.current_version_number or 0)


def event_time_ms(layers: Layers) -> int:
    """Up to when layers hold events; 0 if there are none. A boundary may be ahead of that."""
    batch = 0 if layers.batch is None else layers.batch.whole_ms
    return batch if layers.stream is None else max(batch, layers.stream.event_time_ms)


def value_proto(kind: ColumnType, value: Value) -> ValueProto:
    """A value of some type; null is an empty message."""
    if value is None:
        return ValueProto()
    fields: dict[str, Any] = {_FIELDS[kind]: value}
    return ValueProto(**fields)


def read_status(answer: Answer, at: int, *, nothing: bool) -> FieldStatus.ValueType:
    """The status of what was read for a feature, whatever its value.

    Args:
        answer: of one row.
        at: the place of the feature.
        nothing: whether its view has no layer at all.
    """
    if nothing:
        return FieldStatus.NOT_FOUND
    if answer.incomplete is not None and answer.incomplete[at]:
        return FieldStatus.OUTSIDE_MAX_AGE
    return FieldStatus.PRESENT if answer.found else FieldStatus.NOT_FOUND
