"""The steps of a declared training set, killed anywhere and run again: as if nobody had."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
from datetime import date
from pathlib import Path

import pytest

from headrace_batch.staging.places import place_of
from headrace_batch.staging.publication import published
from headrace_batch.staging.target import Target
from headrace_schemas.settings import Settings
from headrace_shards.manifest import Manifest
from lakes import settings_in, write_simulated
from programs import DIE_IN

FORMER, DAY = date(2018, 4, 20), date(2018, 4, 26)

# Makes the set of a day, and is killed before or after the n-th "write" (of a table), "features"
# or "publish".
CHILD = (
    DIE_IN
    + """
import sys
from datetime import date
from pathlib import Path
from headrace_batch.staging import declared, whole_tables
from headrace_batch.staging.declared_spine import write_spine
from headrace_features.project import load_project
from headrace_schemas.settings import load

home, day, *what = sys.argv[1:]
settings = load(Path(home), {**os.environ, "HEADRACE_HOME": home})
project, day = load_project(settings), date.fromisoformat(day)
one = project.training_set("fraud_training")
if what:
    moment, name, calls = what
    owner, attribute = {
        "write": (whole_tables, "write_deltalake"),
        "features": (declared, "features_of"),
        "publish": (declared, "publish"),
    }[name]
    die_in(owner, attribute, moment, int(calls))
write_spine(settings, project, one, day)
declared.write_set(settings, one, day, "local")
declared.stage_set(settings, project, one, day, "local", lambda told: None)
"""
)


def made(settings: Settings, day: date, *what: str) -> int:
    """Make the set of a day in a process of its own; its status."""
    line = [sys.executable, "-c", CHILD, str(settings.home), str(day), *what]
    return subprocess.run(line, start_new_session=True, check=False).returncode


def manifest_of(settings: Settings) -> Manifest:
    found = published(Target(place_of(settings, "fraud_training")))
    assert found is not None
    return found


@pytest.fixture(scope="module")
def former(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with the set of a day."""
    settings = settings_in(tmp_path_factory.mktemp("former"))
    write_simulated(settings)
    assert made(settings, FORMER) == 0
    return settings.home


@pytest.fixture(scope="module")
def expected(former: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    """What readers get of the set of the next day, when nobody is killed."""
    home = tmp_path_factory.mktemp("expected") / "home"
    shutil.copytree(former, home)
    assert made(settings_in(home), DAY) == 0
    return manifest_of(settings_in(home)).digest


@pytest.mark.parametrize(
    "what",
    [
        ("before", "write", "1"),
        ("after", "write", "1"),
        ("after", "features", "1"),
        ("before", "write", "2"),
        ("after", "write", "2"),
        ("before", "publish", "1"),
        ("after", "publish", "1"),
    ],
    ids=" ".join,
)
def test_readers_have_the_former_set_until_the_next_run_has_made_all(
    what: tuple[str, str, str], former: Path, expected: str, tmp_path: Path
) -> None:
    home = tmp_path / "home"
    shutil.copytree(former, home)
    settings = settings_in(home)
    before = manifest_of(settings).digest
    assert made(settings, DAY, *what) == -signal.SIGKILL
    assert manifest_of(settings).digest == (
        expected if what[:2] == ("after", "publish") else before
    )
    assert made(settings, DAY) == 0
    assert manifest_of(settings).digest == expected
