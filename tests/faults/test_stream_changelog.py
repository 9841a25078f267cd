"""With changes of state written as they are made, a job goes on from them all the same."""

from __future__ import annotations

import os
import time
from dataclasses import replace
from pathlib import Path
from urllib.parse import unquote, urlparse

import pytest

from headrace_features.embedded import Service
from headrace_features.project import load_project
from headrace_schemas.settings import Settings
from headrace_streaming.job import deployment
from headrace_streaming.job.cluster import Cluster
from headrace_streaming.job.state_folders import delete_over, state_folders
from headrace_streaming.kafka.clients import kafka_config
from headrace_streaming.services import control
from live_run import kill, newest_job, records, require_right, sending, until_checkpoints
from streams import decisions, deploy

ROWS = 6_000
RATE = 300


@pytest.fixture
def changelog(stream: Settings, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """The settings of a running stream whose state has a changelog."""
    monkeypatch.setenv("HEADRACE_STREAM_STATE_CHANGELOG", "on")
    return replace(stream, stream=replace(stream.stream, state_changelog="on"))


def logged(settings: Settings) -> list[Path]:
    """The files of changes."""
    return [path for path in (settings.home / "flink" / "changelog").rglob("*") if path.is_file()]


def test_a_job_is_killed_deployed_again_and_stopped_and_goes_on(changelog: Settings) -> None:
    deploy(changelog)
    thread = sending(changelog, records(ROWS), RATE)
    decisions(kafka_config(changelog), 500)
    assert logged(changelog)
    for _ in range(2):
        kill(changelog.home, Service.TASKMANAGER)
        control.up(changelog.home, os.environ)
        until_checkpoints(changelog, 2)
    assert Cluster.of(changelog).checkpoints(newest_job(changelog))["counts"]["restored"] >= 1
    kill(changelog.home, Service.JOBMANAGER)
    control.up(changelog.home, os.environ)
    again = deploy(changelog)
    assert "/chk-" in str(again.restored_from)
    until_checkpoints(changelog, 2)
    # Whatever is deleted as nobody needs it, though the cluster knows no job any more, nobody does.
    kill(changelog.home, Service.JOBMANAGER)
    control.up(changelog.home, os.environ)
    left_over = changelog.home / "flink" / "checkpoints" / ("0" * 32)
    left_over.mkdir()
    for path in (changelog.home / "flink").rglob("*"):
        os.utime(path, (1, 1))
    delete_over(state_folders(changelog), time.time_ns() // 1_000_000)
    assert not left_over.exists()
    assert "/chk-" in str(deploy(changelog).restored_from)
    until_checkpoints(changelog, 2)
    savepoint = deployment.stop(changelog, load_project(changelog))
    assert deploy(changelog).restored_from == savepoint
    # More than are retained: the savepoint is none of the newest any more.
    until_checkpoints(changelog, 5)
    # What others may want to go on from as well is left where it is.
    assert (Path(unquote(urlparse(savepoint).path)) / "_metadata").exists()
    thread.join()
    require_right(changelog, ROWS)
