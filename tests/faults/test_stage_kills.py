"""Staging that is killed, or whose tasks fail and run twice, publishes whole sets alone."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from conftest import SPARK
from headrace_batch.staging.publication import published
from headrace_batch.staging.target import Target
from headrace_batch.warehouse import Warehouse
from headrace_schemas.settings import Settings
from headrace_shards import Loader
from headrace_shards.manifest import Manifest
from lakes import settings_in, write_simulated
from programs import DIE_IN

# Stages a set, and is killed before or after the n-th "write" (of a shard or an index), "publish",
# "history" or "delete". With "fail" each task of Spark fails the first time, once its shard is
# there, and each shard is there a second time, as by an attempt that came too late.
CHILD = (
    DIE_IN
    + """
import sys
from pathlib import Path
from headrace_batch.staging import run, shard_writing, sharding
from headrace_batch.staging.request import StageRequest
from headrace_batch.staging.target import Target
from headrace_features.fraud.definitions import fraud
from headrace_features.project import load_project
from headrace_schemas.settings import load

engine, home, spine, out, *what = sys.argv[1:]
shard_writing.SHARD_BYTES = 1 << 16
settings = load(Path(home), {**os.environ, "HEADRACE_HOME": home})

class Failing(Target):
    def write(self, name, content):
        super().write(name, content)
        if not name.endswith(".mds"):
            return
        super().write(name.replace(".mds", "-late.mds"), content)
        tried = Path(home) / f"tried-{name.split('-')[0].replace('/', '-')}"
        if not tried.exists():
            tried.touch()
            raise RuntimeError("on purpose")

if what == ["fail"]:
    sharding.Target = Failing
elif what:
    moment, name, calls = what
    owner, attribute = {
        "write": (Target, "write"),
        "history": (run, "load_engine"),
        "survey": (sharding, "survey"),
        "publish": (run, "publish"),
        "delete": (Target, "delete"),
    }[name]
    die_in(owner, attribute, moment, int(calls))
request = StageRequest("fraud", fraud.asked, spine, out)
run.stage(settings, load_project(settings), request, engine, lambda told: None)
"""
)


@dataclass(frozen=True)
class Case:
    """A lake, a spine, a place with a former set, and the one that is to take its place."""

    settings: Settings
    spine: Path
    out: Path
    former: Manifest
    new: Manifest

    def staged(self, engine: str, *what: str) -> int:
        """Stage in a process of its own; its status."""
        line = [sys.executable, "-c", CHILD, engine, str(self.settings.home), str(self.spine)]
        # Spark tries a task again.
        environ = {**os.environ, **SPARK, "HEADRACE_SPARK_MASTER": "local[2,3]"}
        return subprocess.run(
            [*line, str(self.out), *what], start_new_session=True, check=False, env=environ
        ).returncode

    def require_whole(self) -> Manifest:
        """What readers get is the former set or the new one, with all rows."""
        found = published(Target(str(self.out)))
        assert found is not None
        assert found.digest in {self.former.digest, self.new.digest}
        numbers = sorted(
            row
            for batch in Loader(self.out, batch_size=64, last="short")
            for row in batch["ids"][:, 0].tolist()
        )
        assert numbers == list(range(found.rows("train")))
        return found

    def require_index(self, expected: Manifest) -> None:
        """Readers that go by indexes have all rows of a set."""
        told = json.loads((self.out / "train/index.json").read_bytes())["shards"]
        assert [one["raw_data"]["hashes"]["sha256"] for one in told] == [
            one.raw.sha256 for one in expected.split("train")
        ]
        for one in told:
            path = self.out / "train" / one["raw_data"]["basename"]
            assert path.stat().st_size == one["raw_data"]["bytes"]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Case:
    """The lake, and both sets as they are when nothing goes wrong."""
    folder = tmp_path_factory.mktemp("made")
    settings = settings_in(folder / "home")
    write_simulated(settings)
    events = Warehouse.of(settings).read("bronze.transactions").drop_columns(["event_date"])
    manifests = []
    for name, rows in (("former", events.slice(0, 300)), ("new", events.slice(500, 1_500))):
        pq.write_table(rows, folder / f"{name}.parquet")
        alone = Case(settings, folder / f"{name}.parquet", folder / name, *[None] * 2)  # type: ignore[arg-type] # nothing to compare with yet
        assert alone.staged("local") == 0
        found = published(Target(str(folder / name)))
        assert found is not None
        manifests.append(found)
    return Case(settings, folder / "new.parquet", folder / "former", *manifests)


@pytest.fixture
def case(made: Case, tmp_path: Path) -> Case:
    shutil.copytree(made.out, tmp_path / "out")
    # Of an attempt that was killed before.
    (tmp_path / "out/train/shard.00099-gone.mds").write_text("left")
    return Case(made.settings, made.spine, tmp_path / "out", made.former, made.new)


KILLS = [
    ("after", "history", "1"),
    ("after", "survey", "1"),
    ("before", "write", "1"),
    ("after", "write", "4"),
    ("before", "publish", "1"),
    ("before", "delete", "1"),
    ("after", "delete", "1"),
]


@pytest.mark.parametrize("what", KILLS, ids=" ".join)
def test_a_killed_staging_leaves_a_whole_set_and_the_next_one_goes_on(
    what: tuple[str, str, str], case: Case
) -> None:
    assert case.staged("local", *what) == -signal.SIGKILL
    found = case.require_whole()
    assert (found.digest == case.new.digest) is (what[1] == "delete")
    assert case.staged("local") == 0
    assert case.require_whole().digest == case.new.digest
    require_nothing_left(case)


@pytest.mark.parametrize("moment", ["former", "manifest", "index"])
def test_one_that_is_killed_between_manifests_and_index_is_taken_up(
    moment: str, case: Case
) -> None:
    shards = len(case.new.split("train"))
    # After the last shard the former manifest is put aside, then come the new one and the index.
    calls = shards + 1 + ("former", "manifest", "index").index(moment)
    assert case.staged("local", "after", "write", str(calls)) == -signal.SIGKILL
    found = case.require_whole()
    assert (found.digest == case.new.digest) is (moment != "former")
    case.require_index(case.new if moment == "index" else case.former)
    assert case.staged("local") == 0
    assert case.require_whole().digest == case.new.digest
    case.require_index(case.new)
    require_nothing_left(case)
    # Who was trained with the former one goes on with it.
    former = Loader(case.out, batch_size=64, last="short", digest=case.former.digest)
    assert sum(len(batch["ids"]) for batch in former) == case.former.rows("train")


def require_nothing_left(case: Case) -> None:
    """There are the files of this set and of the one before, and no others."""
    manifest = published(Target(str(case.out)))
    assert manifest is not None
    named = {one.raw.name for one in (*manifest.split("train"), *case.former.split("train"))}
    assert {path.name for path in (case.out / "train").iterdir()} <= {*named, "index.json"}


def test_tasks_that_fail_and_run_twice_neither_lose_nor_double_a_row(case: Case) -> None:
    assert case.staged("spark", "fail") == 0
    assert len(list(case.settings.home.glob("tried-train-*"))) == len(case.new.split("train")) > 1
    assert case.require_whole().digest == case.new.digest
    require_nothing_left(case)
