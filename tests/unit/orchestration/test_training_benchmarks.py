"""Benchmarks of training sets say what they lack, and what a script of theirs said."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from headrace_orchestration.benchmarks.figures import rates_in_turn
from headrace_orchestration.benchmarks.trainer import told_by, trainer_python
from headrace_schemas.errors import ConfigurationError, HeadraceError


def test_a_missing_environment_is_named_with_the_command_that_makes_it(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=f"there is no {tmp_path}/python") as raised:
        trainer_python(tmp_path / "python")
    assert "make trainer-setup" in (raised.value.hint or "")
    assert trainer_python(Path(sys.executable)) == Path(sys.executable)


def test_the_end_of_what_a_failed_script_said_is_told() -> None:
    with pytest.raises(HeadraceError, match=r"reading_peer\.py failed; it said last: .*invalid"):
        told_by(Path(sys.executable), "reading_peer.py", "nobody")


def test_contenders_run_in_turn_as_often_as_they_are_asked() -> None:
    seen: list[str] = []
    numbers = iter(range(6))
    found = rates_in_turn(
        {"a": lambda: float(next(numbers)), "b": lambda: float(next(numbers))}, 3, seen.append
    )
    assert found == {"a": [0.0, 2.0, 4.0], "b": [1.0, 3.0, 5.0]}
    assert seen[:2] == ["a, 1 of 3", "b, 1 of 3"]
