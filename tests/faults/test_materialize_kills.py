"""A killed materialization leaves the former generation; a rerun gives the same state."""

from __future__ import annotations

import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from datetime import date
from pathlib import Path

import pytest

from headrace_batch.materialize import materialize_view
from headrace_features.fraud.definitions import card_activity
from headrace_schemas.settings import Settings
from lakes import settings_in, unwatched, write_simulated

LAST_DAY = date(2018, 5, 10)

# Small writes, so that there are many moments to be killed at.
CHILD = """
import sys
from datetime import date
from pathlib import Path
from headrace_batch import layer_fields, materialize
from headrace_features.fraud.definitions import card_activity
from headrace_schemas.settings import load
layer_fields._FIELDS_PER_WRITE = 5
home = Path(sys.argv[1])
settings = load(home, {"HEADRACE_HOME": str(home)})
print("started", flush=True)
materialize.materialize_view(settings, card_activity, date(2018, 5, 10), lambda done: None)
print("done", flush=True)
"""


def published(settings: Settings) -> list[tuple[bytes, str, bytes]]:
    """The fields that readers see."""
    db = sqlite3.connect(settings.online.path)
    try:
        if not db.execute("SELECT 1 FROM sqlite_schema").fetchone():
            # Killed before it had made the tables.
            return []
        return db.execute(
            "SELECT entity, field, content FROM batch AS b JOIN generation AS g"
            " ON b.generation BETWEEN g.base AND g.id"
            " WHERE state = 'current' ORDER BY entity, field"
        ).fetchall()
    finally:
        db.close()


@pytest.fixture(scope="module")
def clean(tmp_path_factory: pytest.TempPathFactory) -> list[tuple[bytes, str, bytes]]:
    """What one run without faults publishes."""
    settings = settings_in(tmp_path_factory.mktemp("clean"))
    write_simulated(settings)
    materialize_view(settings, card_activity, LAST_DAY, unwatched)
    return published(settings)


@pytest.mark.parametrize("seed", range(4))
def test_killed_at_a_random_moment_and_run_again(
    seed: int, tmp_path: Path, clean: list[tuple[bytes, str, bytes]]
) -> None:
    settings = settings_in(tmp_path)
    write_simulated(settings)
    chance = random.Random(seed)
    killed = 0
    for _ in range(3):
        child = subprocess.Popen(
            [sys.executable, "-c", CHILD, str(tmp_path)], stdout=subprocess.PIPE, text=True
        )
        assert child.stdout is not None
        assert child.stdout.readline() == "started\n"
        # The whole run takes a fraction of a second once it has started.
        time.sleep(chance.uniform(0.0, 0.2))
        if child.poll() is None:
            os.kill(child.pid, signal.SIGKILL)
            killed += 1
        child.communicate()
        if settings.online.path.exists():
            assert published(settings) in ([], clean)
    materialize_view(settings, card_activity, LAST_DAY, unwatched)
    assert published(settings) == clean
    assert clean, "the clean run published something to compare with"
    assert killed, "no run was killed before it ended"
