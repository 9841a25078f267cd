"""A history that is killed leaves the former result or the new one; a rerun gives the right one."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from subprocess import PIPE

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from headrace_batch.local_engine import LocalEngine
from headrace_batch.spark_engine import SparkEngine
from headrace_batch.warehouse import Warehouse
from headrace_features.engines import Engine
from headrace_features.fraud.definitions import card_activity, fraud
from headrace_schemas.settings import Settings
from lakes import settings_in, write_simulated
from programs import DIE_IN, started

# A history in pieces, killed with all that it has started: before or after the n-th "open" (of
# the result), "take" (of one more piece of the features of one of two views), "close" (of a file;
# on Spark that of the result is the third, after the rows for each view) or "all" (of it).
CHILD = (
    DIE_IN
    + """
import sys
from pathlib import Path
from headrace_batch import history_assembly, history_files, local_spill
from headrace_features.fraud.definitions import fraud
from headrace_schemas.settings import load

kind, home, spine, out, *what = sys.argv[1:]
history_files.BATCH_ROWS = 64
local_spill.PART_ROWS = 400
settings = load(Path(home), {**os.environ, "HEADRACE_HOME": home})

if what:
    moment, name, calls = what
    owner, attribute = {
        "open": (history_assembly, "result_file"),
        "take": (history_assembly._Stream, "take"),
        "close": (history_files.pq.ParquetWriter, "close"),
        "all": (history_assembly, "history_file"),
    }[name]
    die_in(owner, attribute, moment, int(calls))
if kind == "spark":
    from headrace_batch.spark_engine import SparkEngine as Engine
else:
    from headrace_batch.local_engine import LocalEngine as Engine
Engine(settings).history_file(fraud.selections, spine, out)
"""
)


@dataclass(frozen=True, slots=True)
class Case:
    """A lake, a spine, the file with the former result, and what has to replace it."""

    settings: Settings
    spine: Path
    out: Path
    new: pa.Table

    @property
    def told(self) -> tuple[Path, Path, Path]:
        """What a program is told of it."""
        return self.settings.home, self.spine, self.out

    def unfinished(self) -> set[Path]:
        """What is in the folders of the result and of the work in between, besides results."""
        work = [self.settings.home / "scratch", Path(self.settings.warehouse.path) / "_scratch"]
        beside = {path for path in self.out.parent.iterdir() if path not in {self.spine, self.out}}
        return beside | {path for folder in work if folder.exists() for path in folder.iterdir()}


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    settings = settings_in(tmp_path_factory.mktemp("lake"))
    write_simulated(settings)
    return settings


@pytest.fixture(scope="module")
def made(lake: Settings, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, pa.Table]:
    """A spine, the result of an earlier one with fewer features, and the result to be made."""
    folder = tmp_path_factory.mktemp("made")
    events = Warehouse.of(lake).read("bronze.transactions")
    pq.write_table(events.slice(100, 300), folder / "former_spine.parquet")
    pq.write_table(events.slice(700, 400), folder / "spine.parquet")
    engine, former = LocalEngine(lake), folder / "former.parquet"
    former_spine = str(folder / "former_spine.parquet")
    engine.history_file([card_activity.select("count_1d")], former_spine, str(former))
    engine.history_file(
        fraud.selections, str(folder / "spine.parquet"), str(folder / "new.parquet")
    )
    return folder / "spine.parquet", former, pq.read_table(folder / "new.parquet")


@pytest.fixture
def case(lake: Settings, made: tuple[Path, Path, pa.Table], tmp_path: Path) -> Case:
    spine, former, new = made
    shutil.copy(spine, tmp_path / "spine.parquet")
    shutil.copy(former, tmp_path / "out.parquet")
    return Case(lake, tmp_path / "spine.parquet", tmp_path / "out.parquet", new)


def require_former_or_new(case: Case, former: bytes | None, *, replaced: bool) -> None:
    """What stands under the name of the result is whole: the former one, or the new one."""
    if replaced:
        assert pq.read_table(case.out).equals(case.new)
    elif former is None:
        assert not case.out.exists()
    else:
        assert case.out.read_bytes() == former


def require_a_clean_rerun(engine: Engine, case: Case) -> None:
    """The next run gives the right result and leaves nothing else behind."""
    left = case.unfinished()
    assert engine.history_file(fraud.selections, str(case.spine), str(case.out)) == 400
    assert pq.read_table(case.out).equals(case.new)
    assert case.unfinished() <= left


@pytest.mark.parametrize("first", [False, True], ids=["in place of another", "first"])
@pytest.mark.parametrize(
    "what",
    [
        ("before", "open", "1"),
        ("before", "take", "1"),
        ("after", "take", "7"),
        ("before", "close", "1"),
        ("after", "close", "1"),
        ("after", "all", "1"),
    ],
    ids=" ".join,
)
def test_a_local_history_killed_at_a_step_leaves_the_former_result_or_the_new_one(
    what: tuple[str, str, str], case: Case, *, first: bool
) -> None:
    if first:
        case.out.unlink()
    former = None if first else case.out.read_bytes()
    with started(CHILD, "local", *case.told, *what, stderr=PIPE) as child:
        assert child.wait() == -signal.SIGKILL, child.communicate()

    require_former_or_new(case, former, replaced="all" in what)
    require_a_clean_rerun(LocalEngine(case.settings), case)


@pytest.mark.usefixtures("spark")
@pytest.mark.parametrize(
    "what", [(), ("after", "take", "7"), ("after", "close", "3")], ids=" ".join
)
def test_a_spark_history_killed_at_a_step_leaves_the_former_result(
    what: tuple[str, ...], case: Case
) -> None:
    former = case.out.read_bytes()
    scratch = Path(case.settings.warehouse.path) / "_scratch"
    before = set(scratch.rglob("*.parquet"))
    with started(CHILD, "spark", *case.told, *what, stderr=PIPE) as child:
        while not what and not any("features" in path.parts for path in written(scratch, before)):
            # Both cores are needed there: no busy waiting here.
            with suppress(subprocess.TimeoutExpired):
                pytest.fail(f"ended too early with {child.wait(timeout=0.002)}")
        if not what:
            os.killpg(child.pid, signal.SIGKILL)
        assert child.wait() == -signal.SIGKILL, child.communicate()

    require_former_or_new(case, former, replaced=False)
    require_a_clean_rerun(SparkEngine(case.settings), case)


def written(folder: Path, before: set[Path]) -> set[Path]:
    """The data files below a folder that were not there before."""
    return set(folder.rglob("*.parquet")) - before
