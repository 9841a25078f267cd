"""Tells whether a contract may change as it did: every old and new reader and writer goes on.

Run as `python -m headrace_schemas.compatibility OLD.json NEW.json`.
"""

from __future__ import annotations

import argparse
import json
import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from headrace_schemas.columns import INT64_MAX, INT64_MIN
from headrace_schemas.errors import ConfigurationError, HeadraceError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

_ORIGIN = "contracts are written by `python -m headrace_schemas.json_schema`"
# Keywords that say nothing about which values are accepted.
_SILENT = {"title", "description", "default", "examples", "$comment"}
_KNOWN = {
    "type",
    "format",
    "minimum",
    "maximum",
    "minLength",
    "maxLength",
    "pattern",
    "x-headrace-role",
}


class Breaks(StrEnum):
    """Who can no longer work."""

    NEW_READERS = "new readers of old data"
    OLD_READERS = "old readers of new data"


class Incompatibility(msgspec.Struct, frozen=True):
    """One change to one field that breaks one side, and what would be allowed instead."""

    field: str
    breaks: Breaks
    change: str
    allowed: str

    def __str__(self) -> str:
        return f"{self.field}: {self.change}; breaks {self.breaks}; allowed: {self.allowed}"


class _Field(msgspec.Struct, frozen=True):
    """A property in a normal form that is easy to compare."""

    nullable: bool
    type: str
    minimum: float | None
    maximum: float | None
    min_length: int
    max_length: int | None
    pattern: str | None
    is_time: bool
    others: dict[str, Any]


def check(old: dict[str, Any], new: dict[str, Any]) -> list[Incompatibility]:
    """All that makes `new` incompatible with `old`, two JSON Schemas of flat objects.

    Compatible is meant fully: readers of either side read what writers of the other side may
    write. Unknown fields are ignored by readers, and an absent field that is nullable is null.
    Empty when a change is harmless, such as a further nullable field.

    Raises ConfigurationError for a schema that is not the JSON Schema of a contract.
    """
    before, after = _fields_of(old), _fields_of(new)
    found: list[Incompatibility] = []
    for name in [*before, *(name for name in after if name not in before)]:
        found += _problems(name, before.get(name), after.get(name))
    return found


def _problems(name: str, old: _Field | None, new: _Field | None) -> list[Incompatibility]:
    if old is None and new is not None:
        if new.nullable:
            return []
        allowed = "a new field that is nullable with null as its default"
        return [Incompatibility(name, Breaks.NEW_READERS, "a required field is new", allowed)]
    if new is None and old is not None:
        if old.nullable:
            return []
        allowed = "to keep the field; one that is nullable may go"
        return [Incompatibility(name, Breaks.OLD_READERS, "a required field is gone", allowed)]
    if old is None or new is None:
        return []
    return [
        Incompatibility(name, breaks, change, allowed)
        for breaks, reader, writer in (
            (Breaks.NEW_READERS, new, old),
            (Breaks.OLD_READERS, old, new),
        )
        for change, allowed in _refusals(reader, writer, old, new)
    ]


def _refusals(
    reader: _Field, writer: _Field, old: _Field, new: _Field
) -> Iterator[tuple[str, str]]:
    """What `writer` may write and `reader` refuses, as (change from old to new, allowed)."""
    if writer.nullable and not reader.nullable:
        change = "may no longer be null" if reader is new else "may now be null"
        yield change, "nullable, as before" if old.nullable else "never null, as before"
    if reader.type != writer.type and (reader.type, writer.type) != ("number", "integer"):
        yield f"type {old.type} became {new.type}", f"type {old.type}, or a new field"
        return
    for label, limit, sign in _LIMITS:
        of_reader, of_writer = limit(reader), limit(writer)
        if of_reader is not None and (of_writer is None or sign * of_writer < sign * of_reader):
            yield f"{label} {limit(old)} became {limit(new)}", f"{label} {limit(old)}"
    if reader.pattern is not None and reader.pattern != writer.pattern:
        yield f"pattern {old.pattern} became {new.pattern}", f"pattern {old.pattern}"
    if reader.is_time and not writer.is_time:
        change = "is now a time" if reader is new else "is no longer a time"
        yield change, "the same role, or a new field"
    if reader.others != writer.others:
        names = ", ".join(sorted({*reader.others, *writer.others}))
        yield f"keywords changed that are not understood: {names}", "the same keywords"


def _lowest(field: _Field) -> float | None:
    return INT64_MIN if field.type == "integer" and field.minimum is None else field.minimum


def _highest(field: _Field) -> float | None:
    return INT64_MAX if field.type == "integer" and field.maximum is None else field.maximum


# Each limit with the sign that turns "is looser" into "is less".
_LIMITS: tuple[tuple[str, Callable[[_Field], float | None], int], ...] = (
    ("minimum", _lowest, 1),
    ("maximum", _highest, -1),
    ("minimal length", lambda field: field.min_length, 1),
    ("maximal length", lambda field: field.max_length, -1),
)


def _fields_of(schema: dict[str, Any]) -> dict[str, _Field]:
    properties = schema.get("properties")
    if schema.get("type") != "object" or not isinstance(properties, dict):
        raise ConfigurationError(
            "this is not the JSON Schema of a contract: it has no `type: object` with properties",
            hint=_ORIGIN,
        )
    required = set(schema.get("required", []))
    fields = {name: _field(name, prop) for name, prop in properties.items()}
    for name, field in fields.items():
        if field.nullable == (name in required):
            found = "required and nullable" if field.nullable else "neither required nor nullable"
            raise ConfigurationError(f"field {name} is {found}", hint=_ORIGIN)
    return fields


def _field(name: str, prop: dict[str, Any]) -> _Field:
    variants = prop.get("anyOf", [prop])
    outer = {key: value for key, value in prop.items() if key != "anyOf"}
    kinds = [variant for variant in variants if variant.get("type") != "null"]
    if len(kinds) != 1 or not isinstance(kinds[0].get("type"), str):
        raise ConfigurationError(
            f"field {name} is not of one type, or of one type and null", hint=_ORIGIN
        )
    told = {**outer, **kinds[0]}
    return _Field(
        nullable=len(kinds) < len(variants),
        type=told["type"],
        minimum=told.get("minimum"),
        maximum=told.get("maximum"),
        min_length=told.get("minLength", 0),
        max_length=told.get("maxLength"),
        pattern=told.get("pattern"),
        is_time=told.get("x-headrace-role") == "time_ms",
        others={key: told[key] for key in told.keys() - _KNOWN - _SILENT},
    )


def read_schema(path: Path) -> dict[str, Any]:
    """The JSON Schema in a file; raises ConfigurationError where there is none."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigurationError(f"{path} can't be read as a JSON Schema: {error}") from None
    if not isinstance(found, dict):
        raise ConfigurationError(f"{path} is no JSON Schema: it holds a {type(found).__name__}")
    return found


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; returns its exit status, which is not 0 where something would break."""
    parser = argparse.ArgumentParser(prog="python -m headrace_schemas.compatibility")
    parser.add_argument("old", metavar="OLD.json", type=Path)
    parser.add_argument("new", metavar="NEW.json", type=Path)
    chosen = parser.parse_args(arguments)
    try:
        problems = check(read_schema(chosen.old), read_schema(chosen.new))
    except HeadraceError as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_code
    sys.stderr.writelines(f"{problem}\n" for problem in problems)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
