"""Values as Feast's protobuf responses."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from feast.protos.feast.serving.ServingService_pb2 import FieldStatus, GetOnlineFeaturesResponse
from feast.protos.feast.types.Value_pb2 import Value as ValueProto
from google.protobuf.timestamp_pb2 import Timestamp

from headrace_features.definitions.views import Feature
from headrace_features.online.serving import Answer
from headrace_features.partials.kinds import Value
from headrace_schemas.columns import ColumnType

_FIELDS = {
    ColumnType.INT64: "int64_val",
    ColumnType.FLOAT64: "double_val",
    ColumnType.STRING: "string_val",
    ColumnType.BOOL: "bool_val",
}


def fill(
    response: GetOnlineFeaturesResponse,
    prefix: str,
    features: Sequence[Feature],
    answers: Sequence[Answer],
) -> None:
    """Add one column for each feature to a response.

    Args:
        response: what is added to.
        prefix: stands before the name of each feature.
        features: the columns.
        answers: the rows.
    """
    written = []
    for answer in answers:
        stamp = Timestamp()
        if answer.boundary_ms is not None:
            stamp.FromMilliseconds(answer.boundary_ms)
        written.append(stamp)
    for feature in features:
        response.metadata.feature_names.val.append(prefix + feature.name)
        vector = response.results.add()
        for answer in answers:
            value = None if answer.values is None else answer.values[feature.name]
            vector.values.append(value_proto(feature, value))
            vector.statuses.append(_status(answer, value))
        vector.event_timestamps.extend(written)


def value_proto(feature: Feature, value: Value) -> ValueProto:
    """A value of a feature; null is an empty message."""
    if value is None:
        return ValueProto()
    fields: dict[str, Any] = {_FIELDS[feature.type]: value}
    return ValueProto(**fields)


def _status(answer: Answer, value: Value) -> FieldStatus.ValueType:
    if not answer.found:
        return FieldStatus.NOT_FOUND
    return FieldStatus.NULL_VALUE if value is None else FieldStatus.PRESENT
