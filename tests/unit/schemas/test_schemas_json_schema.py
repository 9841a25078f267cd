"""JSON Schemas are written, checked, and never silently replaced by an incompatible one."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from headrace_schemas.errors import ConfigurationError
from headrace_schemas.events import Event, Identifier, TimeMs
from headrace_schemas.json_schema import differences, document, main, write

if TYPE_CHECKING:
    from pathlib import Path


class Click(Event, frozen=True, kw_only=True):
    """Someone clicked."""

    click_id: Identifier
    event_time: TimeMs
    seconds: int | None = None


def later(*optional: tuple[str, Any, None]) -> type[msgspec.Struct]:
    """Another declaration of Click, as a later version of the code would have it."""
    fields: list[Any] = [("click_id", Identifier), ("event_time", TimeMs), *optional]
    return msgspec.defstruct("Click", fields, bases=(Event,), frozen=True, kw_only=True)


WITH_PAGE = later(("seconds", int | None, None), ("page", str | None, None))
WITH_TEXT = later(("seconds", str | None, None))


def test_a_document_is_flat_and_says_what_is_required_int64_and_a_time() -> None:
    assert document(Click) == {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Click",
        "description": "Someone clicked.",
        "type": "object",
        "properties": {
            "click_id": {"type": "string", "minLength": 1},
            "event_time": {
                "type": "integer",
                "format": "int64",
                "description": "milliseconds since 1970-01-01 UTC",
                "x-headrace-role": "time_ms",
            },
            "seconds": {
                "anyOf": [{"type": "integer", "format": "int64"}, {"type": "null"}],
                "default": None,
            },
        },
        "required": ["click_id", "event_time"],
    }


def test_what_was_written_is_found_without_differences_and_not_written_again(
    tmp_path: Path,
) -> None:
    assert write(tmp_path / "json", [Click]) == [tmp_path / "json" / "Click.json"]
    assert differences(tmp_path / "json", [Click]) == []
    assert write(tmp_path / "json", [Click]) == []


def test_missing_changed_and_left_over_files_are_differences(tmp_path: Path) -> None:
    assert differences(tmp_path, [Click]) == [f"{tmp_path / 'Click.json'} is missing"]
    write(tmp_path, [Click])
    (tmp_path / "Gone.json").write_text("{}")
    assert differences(tmp_path, [WITH_PAGE]) == [
        f"{tmp_path / 'Click.json'} differs from its contract",
        f"{tmp_path / 'Gone.json'} belongs to no contract",
    ]


def test_a_compatible_change_replaces_the_file(tmp_path: Path) -> None:
    write(tmp_path, [Click])
    write(tmp_path, [WITH_PAGE])
    assert "page" in json.loads((tmp_path / "Click.json").read_text())["properties"]


def test_an_incompatible_change_is_refused_and_leaves_the_file_as_it_was(tmp_path: Path) -> None:
    write(tmp_path, [Click])
    before = (tmp_path / "Click.json").read_text()
    with pytest.raises(ConfigurationError, match="seconds: type integer became string"):
        write(tmp_path, [WITH_TEXT])
    assert (tmp_path / "Click.json").read_text() == before


def test_the_command_writes_and_checks_and_says_what_to_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--check", str(tmp_path)]) == 1
    assert capsys.readouterr().err.splitlines()[-1] == "run `make schemas` and commit the result"
    assert main(["--write", str(tmp_path)]) == 0
    assert f"wrote {tmp_path / 'Transaction.json'}\n" in capsys.readouterr().out
    assert main(["--check", str(tmp_path)]) == 0


def test_the_command_refuses_an_incompatible_change_in_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main(["--write", str(tmp_path)])
    path = tmp_path / "Transaction.json"
    path.write_text(path.read_text().replace('"number"', '"string"'))
    capsys.readouterr()
    assert main(["--write", str(tmp_path)]) == ConfigurationError.exit_code
    message = capsys.readouterr().err
    assert message.count("\n") == 1
    assert "latitude: type string became number" in message
