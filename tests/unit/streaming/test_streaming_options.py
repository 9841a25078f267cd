"""What the settings say of Flink, and where a job left its state."""

from __future__ import annotations

from pathlib import Path

import pytest

from headrace_schemas.errors import ConfigurationError
from headrace_schemas.settings import load
from headrace_streaming.job.config import LakeState
from headrace_streaming.job.last_state import LastState, recall, remember, require_state
from headrace_streaming.job.options import job_config, job_options

OTHER = {"HEADRACE_FLINK_REST_ADDRESS": "cluster:8081"}


def test_state_is_kept_under_the_home_of_the_embedded_cluster(tmp_path: Path) -> None:
    options = job_options(load(tmp_path, {}))
    checkpoints = tmp_path / ".headrace" / "flink" / "checkpoints"
    assert options == {
        "state.backend.type": "hashmap",
        "execution.checkpointing.incremental": "false",
        "execution.checkpointing.dir": checkpoints.as_uri(),
    }


def test_another_cluster_keeps_checkpoints_where_it_does_unless_told_otherwise(
    tmp_path: Path,
) -> None:
    assert "execution.checkpointing.dir" not in job_options(load(tmp_path, OTHER))
    named = {**OTHER, "HEADRACE_STREAM_CHECKPOINT_DIRECTORY": "s3://bucket/state"}
    assert job_options(load(tmp_path, named))["execution.checkpointing.dir"] == "s3://bucket/state"


def test_rocksdb_keeps_changes_alone_and_further_options_are_passed_on(tmp_path: Path) -> None:
    environ = {
        "HEADRACE_STREAM_STATE_BACKEND": "rocksdb",
        "HEADRACE_FLINK_CONF": '{"taskmanager.memory.process.size": "8g"}',
    }
    options = job_options(load(tmp_path, environ))
    assert options["execution.checkpointing.incremental"] == "true"
    assert options["taskmanager.memory.process.size"] == "8g"


def test_changes_are_written_as_they_are_made_where_that_is_asked_for(tmp_path: Path) -> None:
    options = job_options(load(tmp_path, {"HEADRACE_STREAM_STATE_CHANGELOG": "on"}))
    assert options["state.changelog.enabled"] == "true"
    assert "state.changelog.enabled" not in job_options(load(tmp_path, {}))


@pytest.mark.parametrize(
    ("option", "told"),
    [
        ("execution.checkpointing.mode", "can't be changed"),
        ("execution.checkpointing.interval", r"is set by \[stream\] checkpoint_interval"),
        ("state.backend.type", r"is set by \[stream\] state_backend"),
        ("state.changelog.enabled", r"is set by \[stream\] state_changelog"),
    ],
)
def test_what_the_guarantees_stand_on_is_not_passed_on(
    tmp_path: Path, option: str, told: str
) -> None:
    settings = load(tmp_path, {"HEADRACE_FLINK_CONF": f'{{"{option}": "x"}}'})
    with pytest.raises(ConfigurationError, match=told):
        job_options(settings)


def test_checkpoints_have_to_come_before_transactions_are_aborted(tmp_path: Path) -> None:
    environ = {
        "HEADRACE_STREAM_CHECKPOINT_INTERVAL": "8m",
        "HEADRACE_STREAM_TRANSACTION_TIMEOUT": "14m",
    }
    with pytest.raises(ConfigurationError, match="expected at most half of"):
        job_config(load(tmp_path, environ), {}, 1)


def test_a_state_that_is_not_there_is_missed_where_that_can_be_seen(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="there is no savepoint or checkpoint at"):
        require_state(tmp_path.as_uri())
    with pytest.raises(ConfigurationError, match="there is no savepoint or checkpoint at"):
        require_state(str(tmp_path / "missing"))
    (tmp_path / "_metadata").touch()
    require_state(tmp_path.as_uri())
    require_state(str(tmp_path))
    require_state("s3://bucket/savepoint")


def checkpoint(root: Path, job: str, number: int) -> Path:
    """A whole checkpoint of a job."""
    folder = root / job / f"chk-{number}"
    folder.mkdir(parents=True)
    (folder / "_metadata").touch()
    return folder


def test_the_newest_whole_checkpoint_holds_unless_a_job_was_stopped(tmp_path: Path) -> None:
    checkpoint(tmp_path, "job", 9)
    newest = checkpoint(tmp_path, "job", 10)
    (tmp_path / "job" / "chk-11").mkdir()
    checkpoint(tmp_path, "another", 12)
    assert LastState("job", tmp_path.as_uri()).path() == newest.as_uri()
    assert LastState("job", tmp_path.as_uri(), "s3://bucket/savepoint").path() == (
        "s3://bucket/savepoint"
    )


def test_a_job_without_a_checkpoint_goes_on_from_what_it_began_with(tmp_path: Path) -> None:
    state = LastState("job", tmp_path.as_uri(), began_with="file:///savepoint")
    assert state.path() == "file:///savepoint"
    assert LastState("job", tmp_path.as_uri()).path() is None


@pytest.mark.parametrize(
    ("directory", "named"),
    [
        ("s3://bucket/checkpoints", "s3://bucket/checkpoints"),
        ("file:///on/another/machine", "file:///on/another/machine"),
        ("", "the memory of a JobManager"),
    ],
)
def test_state_that_can_not_be_looked_for_is_not_taken_for_none(directory: str, named: str) -> None:
    with pytest.raises(ConfigurationError) as raised:
        LastState("job", directory, began_with="s3://bucket/first").path()
    assert str(raised.value) == (
        "the last state of job job, which began with s3://bucket/first, can't be looked for in"
        f" {named} (name it by --from PATH, or begin without any: --fresh)"
    )


def test_what_is_remembered_of_a_job_is_recalled_and_can_be_forgotten(tmp_path: Path) -> None:
    lake = LakeState(starts={"transactions": {0: 7}}, since_ms={"transactions": 8})
    state = LastState("job", "file:///x", began_with="y", lake=lake)
    remember(tmp_path, "fraud", state)
    assert recall(tmp_path, "fraud") == state
    remember(tmp_path, "fraud", None)
    remember(tmp_path, "fraud", None)
    assert recall(tmp_path, "fraud") is None
