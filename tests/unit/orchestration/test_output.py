"""Tables for people keep what their rows are called in one piece, however narrow a terminal is."""

from __future__ import annotations

import pytest

from headrace_orchestration.output import print_table


def test_names_of_rows_are_not_broken_where_a_table_is_wide(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    name, text = "bronze.transaction_labels", "some words of a line that is long " * 3
    print_table(None, ("table", "told", "rows", "hint"), [(name, text, 1_000_000, text)])
    told = capsys.readouterr().out
    assert name in told
    assert "1,000,000" in told
    assert max(map(len, told.splitlines())) <= 80


def test_a_row_is_a_line_where_no_terminal_says_how_wide_it_is(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)
    name = "card_activity__longitude_last_30d_excluding_current"
    print_table("title", ("column", *"abcdefgh"), [(name, *[1_234_567] * 8), ("x", *[1] * 8)])
    told = capsys.readouterr().out.splitlines()
    assert len(told) == 7
    assert [part.strip() for part in told[4].split("│")[1:-1]] == [name, *["1,234,567"] * 8]
    assert max(map(len, told)) == len(told[4]) < 160


def test_all_of_a_path_is_there_though_it_is_longer_than_a_line(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    folder = "/".join(map(str, range(100)))
    print_table(None, ("folder", "kind"), [(folder, "checkpoint")])
    rows = [line.split("│")[1].strip() for line in capsys.readouterr().out.splitlines()[3:-1]]
    assert "".join(rows) == folder
