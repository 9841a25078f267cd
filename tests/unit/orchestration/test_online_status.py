"""What `headrace online status` says of views whose windows may lack events."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest
from typer.testing import CliRunner

from headrace_features.definitions.durations import DAY_MS
from headrace_features.fraud.definitions import card_activity
from headrace_features.online.layers import ALWAYS_MS, Had
from headrace_features.online.served import view_key
from headrace_features.online.sqlite_store import SqliteStateStore
from headrace_orchestration.cli import app
from online_stores import apply, change

DAY = 20_000 * DAY_MS
VIEW = view_key(card_activity)


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SqliteStateStore:
    """The store of a project."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HEADRACE_HOME", str(tmp_path))
    monkeypatch.setenv("HEADRACE_ONLINE_PATH", str(tmp_path / "online.db"))
    return SqliteStateStore(tmp_path / "online.db")


def said() -> str | None:
    done = CliRunner().invoke(app, ["online", "status", "--json"])
    assert done.exit_code == 0, done.output
    views = {one["view"]: one["incomplete"] for one in json.loads(done.stdout)}
    found: str | None = views[card_activity.name]
    return found


def test_it_is_said_what_is_missing_and_what_to_do_about_it(store: SqliteStateStore) -> None:
    assert said() == "nothing is there yet; run: headrace materialize"
    generation = store.begin(VIEW, DAY)
    store.write(generation, ())
    store.publish(generation, Had.until(generation, DAY + 5))
    assert said() == (
        "no stream writes what happens after 2024-10-04 00:00:00; see: headrace stream deploy"
    )
    apply(store, change("r20000", 1, 1, b"x", view=VIEW, entity="a"), now_ms=DAY)
    store.covers(VIEW, 1, DAY + 1_000)
    told = said()
    assert told is not None
    assert "before 2024-10-04 00:00:01 the stream has not all" in told
    assert "--from lake" in told
    store.covers(VIEW, 2, ALWAYS_MS)
    assert said() == "the stream may not have caught up yet; see: headrace stream status"
    store.caught_up({VIEW: 2}, DAY + 2_000)
    told = said()
    assert told is not None
    assert told.startswith("the stream has what was sent by 2024-10-04 00:00:02; see: headrace")


def test_of_a_view_that_has_all_nothing_is_said(store: SqliteStateStore) -> None:
    apply(store, change("r20000", 1, 1, b"x", view=VIEW, entity="a"), now_ms=DAY)
    store.covers(VIEW, 1, ALWAYS_MS)
    store.caught_up({VIEW: 1}, time.time_ns() // 1_000_000)
    assert said() is None
