"""Definitions are found in the modules of a project, as those modules are now."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from headrace_features.project import load_project
from headrace_schemas.errors import ConfigurationError
from headrace_schemas.settings import load

DEFINITIONS = """
from headrace_features import Count, Entity, EventSource, FeatureView, Sliding
from headrace_schemas.events import Transaction

card_use = FeatureView(
    name="card_use",
    version=1,
    entity=Entity("card", join_key="card_id"),
    source=EventSource("transactions", schema=Transaction, dedup_key="transaction_id"),
    aggregates=[Count(windows=[Sliding("1h")])],
)
"""
LOAD = """
from pathlib import Path
from headrace_features.project import load_project
from headrace_schemas.settings import load
print(load_project(load(Path.cwd(), {})).view("card_use").version)
"""


def declared_version(folder: Path) -> int:
    done = subprocess.run(
        [sys.executable, "-c", LOAD],
        cwd=folder,
        # As for most people, who don't tell Python to keep no compiled copies.
        env={k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"},
        capture_output=True,
        text=True,
        check=True,
    )
    return int(done.stdout)


def test_a_change_within_the_second_after_a_run_is_seen(tmp_path: Path) -> None:
    """Two edits in one second, of one size: what a compiled copy could not tell apart."""
    (tmp_path / "headrace.toml").write_text(
        '[project]\nname = "cards"\ndefinitions = ["card_definitions"]\n'
    )
    module = tmp_path / "card_definitions.py"
    module.write_text(DEFINITIONS)
    second = module.stat().st_mtime_ns // 10**9 * 10**9
    os.utime(module, ns=(second, second))
    assert declared_version(tmp_path) == 1
    module.write_text(DEFINITIONS.replace("version=1", "version=2"))
    os.utime(module, ns=(second, second))
    assert declared_version(tmp_path) == 2


@pytest.mark.parametrize(
    ("name", "statement", "told"),
    [
        (
            "misspelt",
            "Volume(atleast=0.5)",
            "TypeError: Volume.__init__() got an unexpected keyword argument 'atleast'",
        ),
        ("unknown_name", "Gates", "NameError: name 'Gates' is not defined"),
    ],
)
def test_a_mistake_in_definitions_is_told_with_its_file_and_line(
    tmp_path: Path, name: str, statement: str, told: str
) -> None:
    (tmp_path / "headrace.toml").write_text(
        f'[project]\nname = "cards"\ndefinitions = ["{name}_definitions"]\n'
    )
    module = tmp_path / f"{name}_definitions.py"
    module.write_text(f"from headrace_features import Volume\n\nrules = [\n    {statement},\n]\n")
    with pytest.raises(ConfigurationError) as refused:
        load_project(load(tmp_path, {}))
    assert str(refused.value).startswith(
        f"the definitions module '{name}_definitions' can't be imported: line 4 of {module}: {told}"
    )
