"""Runs benchmarks at the size of a toy: they work, tidy up after themselves and write figures."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from headrace_features.embedded import read_book
from headrace_orchestration import cli

Bench = Callable[..., Any]


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Bench:
    """Run a benchmark in this process; returns what it wrote, once it has tidied up."""

    def run(*arguments: object) -> Any:
        written = tmp_path / "figures.json"
        command = ["headrace", "bench", *map(str, arguments), "--json", str(written)]
        monkeypatch.setattr(sys, "argv", command)
        monkeypatch.setenv("HEADRACE_HOME", str(tmp_path))
        with pytest.raises(SystemExit) as ended:
            cli.run()
        assert not ended.value.code
        assert not list(tmp_path.glob("bench-*"))
        assert not read_book(tmp_path).services
        return json.loads(written.read_text())

    return run
