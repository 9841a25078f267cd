"""What a request says: join keys, and the reserved keys for query time and current event."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from typing import Any

from feast import FeatureView, ValueType
from feast.protos.feast.types.Value_pb2 import Value as ValueProto
from feast.type_map import python_values_to_proto_values

from headrace_features.online.query_times import AS_OF, CURRENT, as_of_ms
from headrace_schemas.errors import BadRecordError
from headrace_schemas.reasons import Reason

#: The reserved key of entity rows that only Feast's ways of asking have: whether to say how fresh
#: values are.
FRESHNESS = "freshness"
#: All of them.
RESERVED = frozenset({AS_OF, CURRENT, FRESHNESS})

_PLAIN = {ValueType.STRING: str, ValueType.INT64: int}
_CLOSE = 0.8
#: The first integer that is no int64.
_BEYOND = 1 << 63


def columnar(entity_rows: list[dict[str, Any]] | Mapping[str, Any]) -> dict[str, list[Any]]:
    """Entity rows as columns, from either form in which Feast takes them.

    Raises:
        BadRecordError: there are no rows, or they don't all have the same keys.
    """
    if isinstance(entity_rows, Mapping):
        columns = {
            key: list(values) if isinstance(values, Sequence) else list(values.val)
            for key, values in entity_rows.items()
        }
    else:
        if any(set(row) != set(entity_rows[0]) for row in entity_rows):
            raise BadRecordError(
                Reason.MISSING_FIELD,
                "the entity rows don't all have the same keys",
                hint="give every row every key",
            )
        keys = entity_rows[0] if entity_rows else ()
        columns = {key: [row[key] for row in entity_rows] for key in keys}
    lengths = {key: len(values) for key, values in columns.items()}
    if not any(lengths.values()) or len(set(lengths.values())) > 1:
        raise BadRecordError(
            Reason.MISSING_FIELD,
            f"the entity rows have columns of the lengths {lengths or 0}",
            hint="give at least one row, and every key a value in each",
        )
    return columns


def require_not_misspelt(name: str) -> None:
    """See that a key of entity rows, which nothing asks for, isn't meant for a reserved one.

    Raises:
        BadRecordError: it is almost one: without it the answer would be to another question.
    """
    if name not in RESERVED and (close := get_close_matches(name, RESERVED, 1, _CLOSE)):
        raise BadRecordError(
            Reason.MISSING_FIELD,
            f"the entity rows have {name}, which nothing asks for",
            hint=f"did you mean {close[0]}?",
        )


def moments_of(
    columns: Mapping[str, Sequence[Any]], rows: int, now_ms: int
) -> tuple[list[int], list[str | None]]:
    """Of each row the query time, and the event being decided."""
    times_ms = query_times(columns.get(AS_OF), rows, now_ms)
    return times_ms, current_events(columns.get(CURRENT), rows)


def query_times(column: Sequence[Any] | None, rows: int, now_ms: int) -> list[int]:
    """The query time of each row in ms UTC: its `as_of`, else now."""
    if column is None:
        return [now_ms] * rows
    native = map(_plain, column)
    return [now_ms if value is None else as_of_ms(value, now_ms) for value in native]


def current_events(column: Sequence[Any] | None, rows: int) -> list[str | None]:
    """The dedup key of the event that each row decides, if it names one."""
    if column is None:
        return [None] * rows
    return [None if value is None else str(value) for value in map(_plain, column)]


def freshness_wanted(column: Sequence[Any] | None) -> bool:
    """Whether any row asks how fresh its values are."""
    return column is not None and any(map(_plain, column))


def join_key_of(view: FeatureView, key: str) -> str:
    """The column of entity rows that has the keys of a view, which may be asked for under another.

    Feast looks for either name and takes the one that comes last, which may be another entity's.
    """
    return str(view.projection.join_key_map.get(key, key))


def key_values(
    view: str, key: str, join_key_values: Mapping[str, Sequence[ValueProto]]
) -> list[str | int]:
    """The key of each row for a view, from columns of which Feast has made messages.

    Raises:
        BadRecordError: a key is missing or null.
    """
    column = _given(view, key, join_key_values.get(key))
    return _without_null(view, key, [_plain(value) for value in column])


def native_keys(
    view: str, key: str, column: Sequence[Any] | None, kind: ValueType
) -> list[str | int]:
    """The keys in a column of entity rows, in the type of the entity.

    Raises:
        BadRecordError: there is no such column, or a key is null or of another type.
    """
    given = _given(view, key, column)
    wanted = _PLAIN.get(kind)
    if all(type(value) is wanted for value in given) and (wanted is str or _fit(given)):
        return list(given)
    return _without_null(view, key, native_values(key, given, kind))


def native_values(name: str, column: Sequence[Any], kind: ValueType) -> list[Any]:
    """The values of a column in a type of Feast's, as it takes numbers of numpy and texts of them.

    Raises:
        BadRecordError: they can't be brought to that type.
    """
    try:
        return [
            _plain(value) for value in python_values_to_proto_values(plain_values(column), kind)
        ]
    except (TypeError, ValueError, OverflowError) as error:
        raise BadRecordError(
            Reason.WRONG_TYPE, f"{name} has values that are no {kind.name.lower()}: {error}"
        ) from error


def _fit(integers: Sequence[int]) -> bool:
    return all(-_BEYOND <= value < _BEYOND for value in integers)


def _given(view: str, key: str, column: Sequence[Any] | None) -> Sequence[Any]:
    if column is None:
        raise BadRecordError(
            Reason.NULL_KEY,
            f"the entity rows have no {key}, the join key of {view}",
            hint="give one for each row",
        )
    return column


def _without_null(view: str, key: str, keys: list[Any]) -> list[str | int]:
    # Only now: to Feast what pandas has for nothing is null as well.
    if any(value is None for value in keys):
        raise BadRecordError(
            Reason.NULL_KEY,
            f"a row has no {key}, the join key of {view}",
            hint="leave such rows out",
        )
    return keys


def native(value: ValueProto) -> Any:
    """What a protobuf value holds; None for null."""
    kind = value.WhichOneof("val")
    return None if kind is None or kind == "null_val" else getattr(value, kind)


def plain_values(column: Sequence[Any]) -> list[Any]:
    """The values of a column, of which Feast may have made messages."""
    return [_plain(value) for value in column]


def _plain(value: Any) -> Any:
    return native(value) if isinstance(value, ValueProto) else value
