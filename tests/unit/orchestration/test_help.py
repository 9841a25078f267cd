"""What `--help` shows is what is written."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
import typer
from rich.text import Text

from headrace_orchestration.cli import app

#: As sections of `headrace.toml` are written.
_SECTION = re.compile(r"\[[a-z_.]+\]")


def helps(command: object, path: tuple[str, ...] = ()) -> Iterator[tuple[str, str]]:
    """Each text of a command's help and of those below it, with the words that ask for it."""
    asked = " ".join(("headrace", *path))
    texts = [getattr(command, "help", None)]
    texts += [getattr(one, "help", None) for one in getattr(command, "params", ())]
    yield from ((asked, text) for text in texts if text)
    for name, below in getattr(command, "commands", {}).items():
        yield from helps(below, (*path, name))


HELPS = tuple(helps(typer.main.get_command(app)))


def test_no_help_loses_a_section_of_the_settings_to_markup() -> None:
    lost = {asked: text for asked, text in HELPS if Text.from_markup(text).spans}
    assert not lost


def test_a_section_that_help_names_is_shown(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    named = {(asked, section) for asked, text in HELPS for section in _SECTION.findall(text)}
    assert {asked for asked, _ in named} >= {"headrace ingest", "headrace lineage"}
    for asked, section in named:
        app([*asked.split()[1:], "--help"], prog_name="headrace", standalone_mode=False)
        assert section in capsys.readouterr().out, asked
