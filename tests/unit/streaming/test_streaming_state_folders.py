"""Which checkpoints and savepoints are deleted, and which never."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from headrace_schemas.errors import ConfigurationError
from headrace_schemas.settings import Settings, load
from headrace_streaming.job.last_state import LastState, remember
from headrace_streaming.job.state_folders import (
    CHECKPOINTS_STAY_MS,
    SAVEPOINTS_STAY_MS,
    delete_over,
    state_folders,
)

WRITTEN_MS = 1_700_000_000_000
FORMER, OTHER, LAST, GONE = (letter * 32 for letter in "abcd")
STOPPED, OLD = "savepoint-aaaaaa-0123456789ab", "savepoint-bbbbbb-0123456789ab"


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return load(tmp_path, {"HEADRACE_HOME": str(tmp_path)})


def write(settings: Settings, folder: str, metadata: str, written_ms: int = WRITTEN_MS) -> Path:
    """A savepoint, or a job's folder with a checkpoint, with its metadata."""
    found = settings.home / "flink" / folder
    inside = found if "savepoint-" in folder else found / "chk-7"
    inside.mkdir(parents=True)
    (inside / "_metadata").write_bytes(metadata.encode())
    for path in (inside / "_metadata", inside, found):
        os.utime(path, (written_ms / 1000, written_ms / 1000))
    return found


def kept(settings: Settings, now_ms: int) -> set[str]:
    """The names of the folders that are there afterwards."""
    delete_over(state_folders(settings), now_ms)
    return {one.path.name for one in state_folders(settings)}


def test_what_a_next_deployment_goes_on_from_stays_with_all_that_it_refers_to(
    settings: Settings,
) -> None:
    checkpoint = write(settings, f"checkpoints/{FORMER}", f"file:/x/{OTHER}/shared/1") / "chk-7"
    write(settings, f"checkpoints/{OTHER}", "")
    write(settings, f"changelog/{OTHER}", "")
    write(settings, f"checkpoints/{LAST}", "")
    write(settings, f"checkpoints/{GONE}", f"file:/x/{LAST}/shared/1")
    write(settings, f"savepoints/{OLD}", "")
    stopped = write(settings, f"savepoints/{STOPPED}", f"its own, and {OTHER}")
    remember(settings.home, "shop", LastState(LAST, "file:/x", began_with=checkpoint.as_uri()))
    remember(settings.home, "shop.v2", LastState(LAST, "file:/x", savepoint=stopped.as_uri()))
    long_after = WRITTEN_MS + SAVEPOINTS_STAY_MS + 1
    assert kept(settings, long_after) == {FORMER, OTHER, LAST, STOPPED}
    assert {one.needed_by for one in state_folders(settings)} == {
        "the next deployment of shop",
        "the next deployment of shop.v2",
    }


def test_what_nothing_refers_to_stays_for_a_while_after_it_was_written(settings: Settings) -> None:
    write(settings, f"checkpoints/{FORMER}", "")
    write(settings, f"savepoints/{OLD}", "")
    (settings.home / "flink" / "checkpoints" / "notes").mkdir()
    assert kept(settings, WRITTEN_MS + CHECKPOINTS_STAY_MS) == {FORMER, OLD}
    assert kept(settings, WRITTEN_MS + CHECKPOINTS_STAY_MS + 1) == {OLD}
    assert kept(settings, WRITTEN_MS + SAVEPOINTS_STAY_MS) == {OLD}
    assert kept(settings, WRITTEN_MS + SAVEPOINTS_STAY_MS + 1) == set()
    # It is none of ours.
    assert (settings.home / "flink" / "checkpoints" / "notes").exists()


def test_folders_elsewhere_are_left_to_others(tmp_path: Path) -> None:
    folder = tmp_path / "shared"
    environ = {
        "HEADRACE_HOME": str(tmp_path / "home"),
        "HEADRACE_STREAM_CHECKPOINT_DIRECTORY": str(folder),
    }
    (folder / FORMER).mkdir(parents=True)
    assert state_folders(load(tmp_path, environ)) == []


def test_where_it_is_unknown_what_is_needed_nothing_is_deleted(settings: Settings) -> None:
    write(settings, f"checkpoints/{FORMER}", "")
    (settings.home / "stream").mkdir()
    (settings.home / "stream" / "shop.json").write_text("{half of it")
    with pytest.raises(ConfigurationError, match=r"shop\.json can't be read"):
        state_folders(settings)
