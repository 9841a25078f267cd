"""Events to bytes and back: JSON, checked in both directions against the contract."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Generic, TypeVar

import msgspec

from headrace_schemas.columns import (
    INT64_MAX,
    INT64_MIN,
    Column,
    ColumnRole,
    ColumnType,
    columns_of,
)
from headrace_schemas.errors import BadRecordError, ConfigurationError
from headrace_schemas.event_times import PLAUSIBLE, TimeRange, time_problem
from headrace_schemas.reasons import Reason
from headrace_schemas.record_checks import first_problem

if TYPE_CHECKING:
    from collections.abc import Collection

E = TypeVar("E", bound=msgspec.Struct)


class Codec(Generic[E]):
    """Encodes and decodes the events of one schema.

    Fields annotated as `Identifier` and `TimeMs` are keys and times; `keys` and `times` name
    further ones, as an event source declares them. Times have to lie in `plausible`. Unknown
    fields are ignored. Neither direction lets through what the other would refuse.
    """

    def __init__(
        self,
        schema: type[E],
        *,
        keys: Collection[str] = (),
        times: Collection[str] = (),
        plausible: TimeRange = PLAUSIBLE,
    ) -> None:
        self.schema = schema
        self.columns = _with_roles(schema, keys, times)
        self._plausible = plausible
        self._integers = tuple(c.name for c in self.columns if c.type is ColumnType.INT64)
        self._times = tuple(c.name for c in self.columns if c.role is ColumnRole.TIME_MS)
        self._keys = tuple(c.name for c in self.columns if c.role is ColumnRole.IDENTIFIER)
        self._encoder = msgspec.json.Encoder()
        self._decoder = msgspec.json.Decoder(schema)

    def encode(self, event: E) -> bytes:
        """The event as one JSON object, fields in the order of declaration.

        Raises BadRecordError for values that `decode` would refuse, NaN among them, which JSON
        would turn into null.
        """
        if type(event) is not self.schema:
            raise TypeError(f"expected {self.schema.__name__}, found {type(event).__name__}")
        record = {column.name: getattr(event, column.name) for column in self.columns}
        self._raise_first_problem(record)
        try:
            return self._encoder.encode(event)
        except UnicodeEncodeError:
            raise BadRecordError(
                Reason.BAD_FORMAT, f"{self.schema.__name__} holds text that is not Unicode"
            ) from None

    def decode(self, raw: bytes) -> E:
        """The event in `raw`; raises BadRecordError with the reason where it is not acceptable."""
        try:
            raw.decode("utf-8")  # the decoder doesn't look into fields that it skips
            event = self._decoder.decode(raw)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise self._explained(raw, error) from None
        if not self._is_acceptable(event):
            self._raise_first_problem(msgspec.structs.asdict(event))
        return event

    def _is_acceptable(self, event: E) -> bool:
        """What the decoder can't check: 64 bits, plausible times, keys named by the caller."""
        for name in self._integers:
            value = getattr(event, name)
            if value is not None and not INT64_MIN <= value <= INT64_MAX:
                return False
        for name in self._times:
            value = getattr(event, name)
            if value is not None and time_problem(value, self._plausible) is not None:
                return False
        return all(getattr(event, name) not in (None, "") for name in self._keys)

    def _raise_first_problem(self, record: dict[str, object]) -> None:
        problem = first_problem(
            record, self.columns, owner=self.schema.__name__, plausible=self._plausible
        )
        if problem is not None:
            raise problem

    def _explained(self, raw: bytes, error: Exception) -> BadRecordError:
        """Why the decoder refused `raw`, found by reading it again without a type.

        The decoder's own message is for people: its wording is no interface to take a reason from.
        """
        name = self.schema.__name__
        try:
            record = json.loads(raw.decode("utf-8"), parse_int=_integer)
        except (ValueError, RecursionError) as cause:
            text = str(cause) or type(cause).__name__
            return BadRecordError(Reason.UNDECODABLE, f"{name} is not JSON: {text}")
        if not isinstance(record, dict):
            return BadRecordError(
                Reason.UNDECODABLE, f"{name} is JSON but no object: {type(record).__name__}"
            )
        problem = first_problem(record, self.columns, owner=name, plausible=self._plausible)
        if problem is not None:
            return problem
        wrong_type = isinstance(error, msgspec.ValidationError)
        reason = Reason.WRONG_TYPE if wrong_type else Reason.UNDECODABLE
        return BadRecordError(reason, f"{name} can't be read: {error}")


def _integer(digits: str) -> int:
    # Python refuses to read some thousand digits; the first 400 already overflow every column.
    return int(digits[:400])


def _with_roles(
    schema: type[msgspec.Struct], keys: Collection[str], times: Collection[str]
) -> tuple[Column, ...]:
    columns = columns_of(schema)
    names = [column.name for column in columns]
    for kind, given in (("key", keys), ("time", times)):
        for name in given:
            if name not in names:
                raise ConfigurationError.unknown(f"{kind} column of {schema.__name__}", name, names)
    return tuple(
        msgspec.structs.replace(column, role=ColumnRole.IDENTIFIER)
        if column.name in keys
        else _as_time(schema, column)
        if column.name in times
        else column
        for column in columns
    )


def _as_time(schema: type[msgspec.Struct], column: Column) -> Column:
    if column.type is not ColumnType.INT64:
        raise ConfigurationError(
            f"{schema.__name__}.{column.name} is {column.type}, but named as a time",
            hint="a time is int, milliseconds since 1970-01-01 UTC",
        )
    return msgspec.structs.replace(column, role=ColumnRole.TIME_MS)
