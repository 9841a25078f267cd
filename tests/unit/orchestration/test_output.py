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


def test_all_of_a_path_is_there_though_it_is_longer_than_a_line(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    folder = "/".join(map(str, range(100)))
    print_table(None, ("folder", "kind"), [(folder, "checkpoint")])
    rows = [line.split("│")[1].strip() for line in capsys.readouterr().out.splitlines()[3:-1]]
    assert "".join(rows) == folder
