"""The physical columns of a contract, read from its annotations; no engine is known here."""

from __future__ import annotations

import re
from enum import StrEnum
from typing import Any

import msgspec
from msgspec import inspect

from headrace_schemas.errors import ConfigurationError

INT64_MIN = -(2**63)
INT64_MAX = 2**63 - 1

# Key in `msgspec.Meta(extra=...)` under which an annotation names the role of its column.
ROLE = "headrace_role"

_NAME = re.compile("[A-Za-z][A-Za-z0-9_]*")
_ALLOWED = "int, float, str, bool, each alone or with `| None = None`"


class ColumnType(StrEnum):
    """What a column holds; every engine maps these four and no others."""

    INT64 = "int64"
    FLOAT64 = "float64"
    STRING = "string"
    BOOL = "bool"


class ColumnRole(StrEnum):
    """What a column is for, where that changes how a record is checked."""

    VALUE = "value"
    IDENTIFIER = "identifier"
    TIME_MS = "time_ms"


class Column(msgspec.Struct, frozen=True):
    """One field of a contract.

    A column is either required and never null, or `nullable`: then it may be absent too, which
    means null. `minimum` and `maximum` are inclusive; None leaves a side to the type (INT64
    means 64 bits, FLOAT64 means finite). Lengths count code points. `pattern` is a regular
    expression that is searched for, so it has to carry its own anchors.
    """

    name: str
    type: ColumnType
    nullable: bool = False
    minimum: int | float | None = None
    maximum: int | float | None = None
    min_length: int | None = None
    max_length: int | None = None
    pattern: str | None = None
    role: ColumnRole = ColumnRole.VALUE


def columns_of(schema: type[msgspec.Struct]) -> tuple[Column, ...]:
    """The columns of `schema`, in the order of declaration.

    Raises ConfigurationError, naming the field, for whatever is not a flat record of int,
    float, str and bool, each optionally nullable with None as its default.
    """
    info = _struct_of(schema)
    # A tag or an array layout is unknown to tables, which know columns by name only.
    if info.tag is not None or info.array_like:
        raise ConfigurationError(
            f"{schema.__name__} is declared with a tag or array_like",
            hint="a contract is a plain object; remove the option",
        )
    if not info.fields:
        raise ConfigurationError(f"{schema.__name__} has no fields", hint="declare at least one")
    columns = tuple(_column(schema.__name__, field) for field in info.fields)
    _check_names(schema.__name__, [column.name for column in columns])
    return columns


def _struct_of(schema: object) -> inspect.StructType:
    info: inspect.Type | None = None
    try:
        if isinstance(schema, type):
            info = inspect.type_info(schema)
    except NameError as error:
        raise ConfigurationError(
            f"{schema!r} is annotated with a name that its module does not define: {error}",
            hint="import it at the top of the module that declares the schema",
        ) from None
    if not isinstance(info, inspect.StructType):
        raise ConfigurationError(
            f"{schema!r} is no event schema",
            hint="declare a class that inherits from headrace_schemas.events.Event",
        )
    return info


def _check_names(owner: str, names: list[str]) -> None:
    seen: dict[str, str] = {}
    for name in names:
        if not _NAME.fullmatch(name):
            raise ConfigurationError(
                f"{owner}.{name} is no name for a column",
                hint="letters a to z, digits and underscores, beginning with a letter",
            )
        # SQL engines match column names without regard to case.
        if (twin := seen.setdefault(name.lower(), name)) != name:
            raise ConfigurationError(
                f"{owner}.{name} and {owner}.{twin} differ only in case", hint="rename one"
            )


def _column(owner: str, field: inspect.Field) -> Column:
    where = f"{owner}.{field.name}"
    if field.encode_name != field.name:
        raise ConfigurationError(
            f"{where} is renamed to {field.encode_name!r}",
            hint="a column has one name on every path; name the field so",
        )
    role, inner = _unwrapped(field.type)
    nullable = isinstance(inner, inspect.UnionType)
    if isinstance(inner, inspect.UnionType):
        others = [member for member in inner.types if not isinstance(member, inspect.NoneType)]
        if len(others) != 1:
            raise _refused(where, inner)
        inner_role, inner = _unwrapped(others[0])
        role = role or inner_role
    _check_default(where, field, nullable=nullable)
    return _typed(
        where, field.name, inner, nullable=nullable, role=ColumnRole(role or ColumnRole.VALUE)
    )


def _unwrapped(found: inspect.Type) -> tuple[str | None, inspect.Type]:
    if isinstance(found, inspect.Metadata):
        return (found.extra or {}).get(ROLE), found.type
    return None, found


def _check_default(where: str, field: inspect.Field, *, nullable: bool) -> None:
    if nullable and field.default is not None:
        raise ConfigurationError(
            f"{where} may be null but does not default to None",
            hint="add `= None`: a column that may be null may also be absent",
        )
    if not nullable and not field.required:
        raise ConfigurationError(
            f"{where} has a default but may not be null",
            hint="remove the default, or declare `| None = None`",
        )


def _typed(
    where: str, name: str, found: inspect.Type, *, nullable: bool, role: ColumnRole
) -> Column:
    match found:
        case inspect.BoolType():
            return Column(name, ColumnType.BOOL, nullable, role=role)
        case inspect.StrType():
            return Column(
                name,
                ColumnType.STRING,
                nullable,
                min_length=found.min_length,
                max_length=found.max_length,
                pattern=found.pattern,
                role=role,
            )
        case inspect.IntType() | inspect.FloatType():
            if (found.gt, found.lt, found.multiple_of) != (None, None, None):
                raise ConfigurationError(
                    f"{where} uses gt, lt or multiple_of", hint="state its range with ge and le"
                )
            kind = ColumnType.INT64 if isinstance(found, inspect.IntType) else ColumnType.FLOAT64
            return Column(name, kind, nullable, minimum=found.ge, maximum=found.le, role=role)
        case _:
            raise _refused(where, found)


def _refused(where: str, found: inspect.Type) -> ConfigurationError:
    return ConfigurationError(
        f"{where} has a type that no column has: {_spelled(found)}; allowed: {_ALLOWED}",
        hint="flatten nested values into columns; times are integers, milliseconds UTC",
    )


def _spelled(found: Any) -> str:
    if isinstance(found, inspect.UnionType):
        return " | ".join(_spelled(member) for member in found.types)
    if isinstance(found, inspect.Metadata):
        return _spelled(found.type)
    return type(found).__name__.removesuffix("Type").lower()
