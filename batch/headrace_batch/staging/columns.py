"""Which columns of a training set come into which part of a row."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from enum import StrEnum

import pyarrow as pa
import pyarrow.types as pt

from headrace_schemas.errors import ConfigurationError
from headrace_shards.layout import Layout, Part

#: The number of a row in its spine, from 0: what names it in every order.
ROW = "row"
_CODES = "codes"


class Precision(StrEnum):
    """How numbers are kept that a model takes in: rounded to 32 bits, or as they were computed."""

    FLOAT32 = "float32"
    FLOAT64 = "float64"


@dataclass(frozen=True, slots=True)
class Roles:
    """What the columns of a training set are for.

    Attributes:
        inputs: what a model takes in: features, and what requests bring for those.
        labels: what it is to foretell.
        payloads: bytes or texts that come along with a row, in files of their own.
        left_out: those that are not wanted.
    """

    inputs: Collection[str]
    labels: Sequence[str] = ()
    payloads: Collection[str] = ()
    left_out: Collection[str] = ()


def layout_of(schema: pa.Schema, roles: Roles, precision: Precision) -> Layout:
    """Sort the columns of a training set into parts.

    ``ids`` has whole numbers and times that are no inputs, the row's number first; ``x`` the
    inputs, and other numbers with a fraction, in their order; ``codes`` texts; ``y`` the labels. A
    column without any value is left out by nobody: it has to be named.

    Args:
        schema: of the set: columns of the spine, the number of each row, features.
        roles: what they are for.
        precision: of ``x``.

    Raises:
        ConfigurationError: a column is missing, or of a type that shards don't have.
    """
    told = dict.fromkeys(roles.labels, "--label names what is to be foretold")
    told |= dict.fromkeys(roles.payloads, "--payload names bytes or texts of the spine")
    told |= dict.fromkeys(roles.left_out, "--leave-out names a column not to keep")
    # The number of a row is ours: nobody can ask for it or leave it out.
    known = [name for name in schema.names if name != ROW]
    for name, hint in told.items():
        if name not in known:
            raise ConfigurationError.unknown("column of the training set", name, known, hint=hint)
    found: dict[str, list[str]] = {"ids": [ROW], "x": [], _CODES: []}
    for field in schema:
        if field.name not in {ROW, *roles.labels, *roles.payloads, *roles.left_out}:
            found[_part(field, roles)].append(field.name)
    for name in roles.labels:
        _require_number(schema.field(name))
    for name in roles.payloads:
        _require_bytes(schema.field(name))
    # The widest types come first.
    parts = [
        Part("ids", "int64", tuple(found["ids"])),
        Part("x", precision.value, tuple(found["x"])) if found["x"] else None,
        Part("y", precision.value, tuple(roles.labels), len(roles.labels) == 1)
        if roles.labels
        else None,
        Part(_CODES, "int32", tuple(found[_CODES])) if found[_CODES] else None,
    ]
    kept = tuple(part for part in parts if part is not None)
    nullable = tuple(column for part in kept for column in part.columns if column != ROW)
    return Layout(kept, nullable)


def texts_of(layout: Layout) -> tuple[str, ...]:
    """The columns of texts, of which shards have codes."""
    return tuple(name for part in layout.parts if part.name == _CODES for name in part.columns)


def _part(field: pa.Field, roles: Roles) -> str:
    """The part that a column comes into."""
    kind = _value_type(field.type)
    if pt.is_string(kind) or pt.is_large_string(kind):
        return _CODES
    if field.name in roles.inputs or pt.is_floating(kind):
        _require_number(field)
        return "x"
    if pt.is_integer(kind) or pt.is_timestamp(kind) or pt.is_boolean(kind):
        return "ids"
    raise ConfigurationError(
        f"the column {field.name!r} is {field.type}, which shards don't have",
        hint=f"convert it, leave it out with --leave-out {field.name}, or have it in files of its"
        f" own with --format webdataset --payload {field.name}",
    )


def _value_type(kind: pa.DataType) -> pa.DataType:
    return kind.value_type if pt.is_dictionary(kind) else kind


def _require_number(field: pa.Field) -> None:
    kind = _value_type(field.type)
    if not (pt.is_integer(kind) or pt.is_floating(kind) or pt.is_boolean(kind)):
        raise ConfigurationError(
            f"the column {field.name!r} is {kind}, expected numbers for what a model takes in",
            hint=f"convert it, or leave it out: --leave-out {field.name}",
        )


def _require_bytes(field: pa.Field) -> None:
    kind = _value_type(field.type)
    if not any(
        holds(kind)
        for holds in (pt.is_binary, pt.is_large_binary, pt.is_string, pt.is_large_string)
    ):
        raise ConfigurationError(
            f"the column {field.name!r} is {kind}, expected bytes or texts of a payload",
            hint="numbers are columns of each sample as they are",
        )
