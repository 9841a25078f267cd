"""Ctrl-C ends a command with one line, also while Spark is at work."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import pytest
from deltalake import DeltaTable

from headrace_schemas.errors import ConfigurationError, RetryableError
from headrace_streaming.kafka.reading import ends
from lakes import settings_in, write_simulated
from streams import broker_in

HEADRACE = str(Path(sys.executable).with_name("headrace"))
_PATIENCE_S = 120
_MOST_TRIES = 5


def started(home: Path, *arguments: str) -> subprocess.Popen[str]:
    """The command, at work."""
    return subprocess.Popen(
        [HEADRACE, *arguments],
        env={**os.environ, "HEADRACE_HOME": str(home)},
        cwd=home,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def interrupted(home: Path, awaited: str) -> tuple[int, str]:
    """How a backfill ends that is interrupted at some moment, and what it says."""
    table = home / "warehouse" / "features" / "card_activity_v1"
    log = home / "logs" / "spark.log"
    log.unlink(missing_ok=True)
    run = started(home, "backfill", "--view", "card_activity", "--engine", "spark")
    until = time.monotonic() + _PATIENCE_S
    found = False
    while not found and run.poll() is None and time.monotonic() < until:
        with suppress(subprocess.TimeoutExpired):
            run.wait(timeout=0.02)
        found = log.exists() if "session" in awaited else any(table.rglob("part-*"))
    run.send_signal(signal.SIGINT)
    _, error = run.communicate(timeout=60)
    return run.returncode, error


@pytest.mark.parametrize("awaited", ["the session is being made", "files are being written"])
def test_an_interrupted_backfill_on_spark_says_so_and_leaves_no_rows(
    awaited: str, tmp_path: Path
) -> None:
    write_simulated(settings_in(tmp_path))
    table = tmp_path / "warehouse" / "features" / "card_activity_v1"
    code, error = interrupted(tmp_path, awaited)
    for _ in range(_MOST_TRIES):
        if code != 0:
            break
        # It was through before it was told.
        shutil.rmtree(table)
        code, error = interrupted(tmp_path, awaited)
    assert code == 130, error
    assert error.count("\n") == 1, error
    assert "interrupted" in error
    # What Spark had begun ends with it; a commit is all or nothing. Others take the table's lease.
    modes = [one.get("operationParameters", {}).get("mode") for one in DeltaTable(table).history()]
    assert modes.count("Overwrite") <= 1


def test_sending_that_is_interrupted_says_how_much_was_sent(tmp_path: Path) -> None:
    with broker_in(tmp_path) as config:
        run = started(tmp_path, "simulate", "--rows", "100000", "--rate", "200")
        until = time.monotonic() + _PATIENCE_S
        while not sent(config) and run.poll() is None and time.monotonic() < until:
            time.sleep(0.1)
        run.send_signal(signal.SIGINT)
        _, error = run.communicate(timeout=60)
        assert run.returncode == 130
        assert error.startswith(f"headrace: interrupted; the first {sent(config):,} records were")
        assert error.count("\n") == 1


def sent(config: Mapping[str, str]) -> int:
    """How many records the topics of the sources have; none before they are made."""
    try:
        held = [ends(config, topic) for topic in ("transactions", "transaction_labels")]
    except (ConfigurationError, RetryableError):
        return 0
    return sum(end for topic in held for _, end in topic.values())
