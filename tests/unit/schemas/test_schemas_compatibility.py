"""The verdict on a changed contract is what really decoding data across the change gives."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headrace_schemas.codec import Codec
from headrace_schemas.compatibility import Breaks, check, main
from headrace_schemas.errors import BadRecordError, ConfigurationError
from headrace_schemas.events import Event, Identifier, TimeMs, Transaction
from headrace_schemas.json_schema import document

if TYPE_CHECKING:
    from pathlib import Path

OLD, NEW = Breaks.OLD_READERS, Breaks.NEW_READERS
# At least one value is on each side of every limit that `fields` below can draw.
POOL: list[object] = [
    None, True, False, *range(-5, 6), 1_700_000_000_000, -(2**63), 2**63 - 1,
    *map(float, range(-5, 6)), 0.5, 1e300, -1e300,
    "", "a", "aa", "aaa", "aaaa", "aaaaa", "b", "ab", "z" * 3,
]  # fmt: skip


@dataclass(frozen=True)
class Field:
    """The annotation of the one field that changes."""

    annotation: Any
    nullable: bool = False
    is_pattern_or_time: bool = False


def contract(field: Field | None) -> type[msgspec.Struct]:
    fields: list[Any] = [("id", Identifier)]
    if field is not None and field.nullable:
        fields.append(("value", field.annotation | None, None))
    elif field is not None:
        fields.append(("value", field.annotation))
    return msgspec.defstruct("Changing", fields, bases=(Event,), frozen=True, kw_only=True)


def written(schema: type[msgspec.Struct]) -> list[bytes]:
    """All that a writer of `schema` may write, as far as the pool goes."""
    codec = Codec(schema)
    found = []
    for value in POOL:
        try:
            found.append(
                codec.encode(codec.decode(json.dumps({"id": "x", "value": value}).encode()))
            )
        except BadRecordError:
            continue
    return found


def really_broken(old: Field | None, new: Field | None) -> set[Breaks]:
    """Who breaks when the data of one side is decoded by the other."""
    before, after = contract(old), contract(new)
    broken = set()
    for side, reader, writer in ((NEW, after, before), (OLD, before, after)):
        codec = Codec(reader)
        for raw in written(writer):
            try:
                codec.decode(raw)
            except BadRecordError:
                broken.add(side)
    return broken


def verdict(old: Field | None, new: Field | None) -> set[Breaks]:
    return {one.breaks for one in check(document(contract(old)), document(contract(new)))}


@st.composite
def fields(draw: st.DrawFn) -> Field:
    kind = draw(st.sampled_from(["int", "float", "str", "bool", "time"]))
    nullable = draw(st.booleans())
    low = draw(st.none() | st.integers(-3, 0))
    high = draw(st.none() | st.integers(0, 3))
    if kind == "int":
        return Field(Annotated[int, msgspec.Meta(ge=low, le=high)], nullable)
    if kind == "float":
        return Field(Annotated[float, msgspec.Meta(ge=low, le=high)], nullable)
    if kind == "str":
        shortest = draw(st.none() | st.integers(0, 2))
        longest = draw(st.none() | st.integers(2, 4))
        pattern = draw(st.sampled_from([None, None, "^a*$", "^[ab]*$"]))
        meta = msgspec.Meta(min_length=shortest, max_length=longest, pattern=pattern)
        return Field(Annotated[str, meta], nullable, is_pattern_or_time=pattern is not None)
    if kind == "time":
        return Field(TimeMs, nullable, is_pattern_or_time=True)
    return Field(bool, nullable)


@settings(max_examples=400, deadline=None)
@given(st.none() | fields(), st.none() | fields())
def test_the_verdict_is_what_decoding_across_the_change_shows(
    old: Field | None, new: Field | None
) -> None:
    broken = really_broken(old, new)
    told = verdict(old, new)
    assert told >= broken
    # Whether one pattern implies another, or a time a minimum, is not worked out: such a change
    # is refused in doubt.
    both = [field for field in (old, new) if field is not None]
    if not any(field.is_pattern_or_time for field in both):
        assert told == broken


integer = Annotated[int, msgspec.Meta(ge=0, le=3)]


@pytest.mark.parametrize(
    ("old", "new", "breaks", "change"),
    [
        (None, Field(int, nullable=True), set(), ""),
        (Field(int, nullable=True), None, set(), ""),
        (None, Field(int), {NEW}, "a required field is new"),
        (Field(int), None, {OLD}, "a required field is gone"),
        (Field(int), Field(str), {OLD, NEW}, "type integer became string"),
        (Field(int), Field(float), {OLD}, "type integer became number"),
        (Field(float), Field(int), {NEW}, "type number became integer"),
        (Field(int, nullable=True), Field(int), {NEW}, "may no longer be null"),
        (Field(int), Field(int, nullable=True), {OLD}, "may now be null"),
        (Field(int), Field(integer), {NEW}, "minimum -9223372036854775808 became 0"),
        (Field(integer), Field(int), {OLD}, "maximum 3 became 9223372036854775807"),
        (Field(str), Field(Identifier), {NEW}, "minimal length 0 became 1"),
        (Field(Identifier), Field(str), {OLD}, "minimal length 1 became 0"),
        (Field(int), Field(TimeMs), {NEW}, "is now a time"),
        (Field(TimeMs), Field(int), {OLD}, "is no longer a time"),
        (Field(integer, nullable=True), Field(integer, nullable=True), set(), ""),
    ],
)
def test_each_kind_of_change_is_named_with_the_side_that_breaks(
    old: Field | None, new: Field | None, breaks: set[Breaks], change: str
) -> None:
    assert really_broken(old, new) == breaks
    found = check(document(contract(old)), document(contract(new)))
    assert {one.breaks for one in found} == breaks
    assert {one.field for one in found} <= {"value"}
    if breaks:
        assert change in [one.change for one in found]
        assert all(one.allowed for one in found)


def test_a_changed_pattern_is_refused_on_both_sides() -> None:
    lower = Field(Annotated[str, msgspec.Meta(pattern="^[a-z]+$")])
    upper = Field(Annotated[str, msgspec.Meta(pattern="^[A-Z]+$")])
    assert verdict(lower, upper) == {OLD, NEW}
    assert verdict(lower, Field(str)) == {OLD}


def test_words_for_people_may_change() -> None:
    told = Field(Annotated[int, msgspec.Meta(title="T", description="D")])
    assert verdict(Field(int), told) == set()


def test_a_keyword_that_is_not_understood_may_not_change() -> None:
    old = document(Transaction)
    new = document(Transaction)
    new["properties"]["channel"]["enum"] = ["chip", None]
    assert [str(one) for one in check(old, new)] == [
        f"channel: keywords changed that are not understood: enum; breaks {side};"
        " allowed: the same keywords"
        for side in (NEW, OLD)
    ]


@pytest.mark.parametrize(
    ("schema", "problem"),
    [
        ({}, "not the JSON Schema of a contract"),
        ({"type": "object", "properties": {"a": {"$ref": "#/x"}}}, "field a is not of one type"),
        ({"type": "object", "properties": {"a": {"type": ["integer"]}}}, "is not of one type"),
        ({"type": "object", "properties": {"a": {"type": "integer"}}}, "neither required nor"),
        (
            {
                "type": "object",
                "properties": {"a": {"anyOf": [{"type": "integer"}, {"type": "null"}]}},
                "required": ["a"],
            },
            "field a is required and nullable",
        ),
    ],
)
def test_what_is_no_contract_is_refused(schema: dict[str, Any], problem: str) -> None:
    with pytest.raises(ConfigurationError, match=problem):
        check(document(Transaction), schema)


def test_the_command_prints_one_line_for_each_problem_and_fails(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    old, new = tmp_path / "old.json", tmp_path / "new.json"
    old.write_text(json.dumps(document(contract(Field(int)))))
    new.write_text(json.dumps(document(contract(Field(str)))))
    assert main([str(old), str(new)]) == 1
    assert capsys.readouterr().err.splitlines() == [
        f"value: type integer became string; breaks {side}; allowed: type integer, or a new field"
        for side in (NEW, OLD)
    ]
    assert main([str(old), str(old)]) == 0


@pytest.mark.parametrize("text", [None, "{", "[]", "{}"])
def test_the_command_says_when_a_file_is_no_contract(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str | None
) -> None:
    path = tmp_path / "x.json"
    if text is not None:
        path.write_text(text)
    assert main([str(path), str(path)]) == ConfigurationError.exit_code
    assert capsys.readouterr().err.count("\n") == 1
