"""What changed definitions need is told, then done, and views have their modes."""

from __future__ import annotations

import json
import os
import pty
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from headrace_batch.kept_layers import kept_layers
from headrace_features.feast_plugin.registry_file import registered_views
from headrace_features.online.layers import ALWAYS_MS
from headrace_features.online.stores import open_store
from headrace_features.online.versions import change_versions
from headrace_orchestration import cli
from headrace_orchestration.commands import apply
from headrace_schemas.settings import load


def headrace(
    folder: Path, *arguments: str, modes: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    environ = {**os.environ, "COLUMNS": "200"}
    if modes is not None:
        environ["HEADRACE_PROJECT_MODES"] = json.dumps(modes)
    return subprocess.run(
        [str(Path(sys.executable).with_name("headrace")), *arguments],
        cwd=folder,
        env=environ,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with events in its lake."""
    folder = tmp_path_factory.mktemp("projects")
    assert headrace(folder, "init", "shop").returncode == 0
    told = headrace(folder / "shop", "ingest", "--file", "events.jsonl")
    assert told.returncode == 0, told.stderr
    return folder / "shop"


def to_do(shop: Path, **options: Any) -> dict[str, list[Any]]:
    planned = headrace(shop, "plan", "--json", **options)
    assert planned.returncode == 0, planned.stderr
    return {one["view"]: one["to_do"] for one in json.loads(planned.stdout) if "view" in one}


def test_a_plan_tells_what_new_views_need_and_about_how_long_it_takes(shop: Path) -> None:
    events = len((shop / "events.jsonl").read_text().splitlines())
    needed = to_do(shop)
    (one,) = needed["user_activity"]
    assert one["command"] == "headrace materialize --view user_activity"
    assert (one["events"], one["seconds"] > 0) == (events, True)
    assert needed["basket"] == []
    told = headrace(shop, "plan").stdout
    assert f"to do: headrace materialize --view user_activity ({events:,} events, about" in told


def test_features_of_a_view_that_is_not_registered_yet_are_not_told(shop: Path) -> None:
    asked = ("--feature", "user_activity:count_1h", "--entity", "user_id=user-001")
    done = headrace(shop, "features", "get", *asked)
    assert (done.returncode, done.stdout) == (78, "")
    assert done.stderr == (
        "headrace: feature view user_activity is not registered: Feast doesn't know it yet"
        " (run: headrace apply)\n"
    )


@pytest.fixture
def mine(shop: Path, tmp_path: Path) -> Path:
    """A copy of the project that a test may change."""
    return Path(shutil.copytree(shop, tmp_path / "shop"))


def declare_second(shop: Path) -> None:
    """Another meaning of user_activity, under a version of its own."""
    place = shop / "shop_definitions.py"
    text = place.read_text().replace("version=1", "version=2", 1)
    place.write_text(text.replace('Sliding("1h"), ', 'Sliding("1h"), Sliding("2h"), ', 1))


def applied(shop: Path, **options: Any) -> dict[str, Any]:
    done = headrace(shop, "apply", "--json", **options)
    assert (done.returncode, done.stderr) == (0, "")
    return {one["view"]: one for one in json.loads(done.stdout) if "view" in one}


def registered(shop: Path) -> dict[str, int]:
    found = registered_views(shop / ".headrace" / "registry.db", "shop")
    return {name: one.version for name, one in found.items()}


def online(shop: Path, feature: str) -> Any:
    """A user's value, as of a moment up to which the lake has everything."""
    events = [json.loads(line) for line in (shop / "events.jsonl").read_text().splitlines()]
    newest = [one for one in events if one["user_id"] == "user-001"][-1]["event_time"]
    asked = ("--feature", feature, "--entity", "user_id=user-001", "--as-of", str(newest))
    told = headrace(shop, "features", "get", *asked, "--json")
    assert told.returncode == 0, told.stderr
    ((value, status),) = zip(
        json.loads(told.stdout)["features"].values(),
        json.loads(told.stdout)["statuses"].values(),
        strict=True,
    )
    return value, status


def test_apply_does_what_the_plan_lists_and_then_there_is_nothing_left(mine: Path) -> None:
    planned = to_do(mine)
    done = applied(mine)
    for view, needed in planned.items():
        assert [one["command"] for one in done[view]["done"]] == [one["command"] for one in needed]
        assert done[view]["next"] == []
    assert registered(mine) == {"basket": 1, "user_activity": 1, "user_purchases": 1}
    value, status = online(mine, "user_activity:count_1d")
    assert (value > 0, status) == (True, "PRESENT")
    assert {view: needed for view, needed in to_do(mine).items() if needed} == {}
    assert [one["done"] for one in applied(mine).values()] == [[], [], []]


def test_apply_gives_a_new_version_its_values_and_registers_it_at_once(mine: Path) -> None:
    assert headrace(mine, "apply").returncode == 0
    declare_second(mine)
    told = headrace(mine, "apply").stdout
    assert "user_activity: changed, version 1 → 2" in told
    assert "done: headrace materialize --view user_activity (" in told
    assert registered(mine)["user_activity"] == 2
    value, status = online(mine, "user_activity:count_2h")
    assert (value > 0, status) == (True, "PRESENT")


def versions(shop: Path) -> dict[str, tuple[bool, str | None, int]]:
    """By name whether it is served, its job, and its version of the view."""
    told = headrace(shop, "versions", "list", "--json")
    assert told.returncode == 0, told.stderr
    return {
        one["namespace"]: (one["serving"], one["job"], view["version"])
        for one in json.loads(told.stdout)
        for view in one["views"]
        if view["view"] == "user_activity"
    }


def test_what_batch_wrote_of_a_former_version_stays_until_it_is_dropped(mine: Path) -> None:
    assert headrace(mine, "apply").returncode == 0
    assert versions(mine) == {"": (True, "unknown", 1)}
    declare_second(mine)
    # Nobody reads what is declared before it is registered.
    assert versions(mine)["user_activity:v1"] == (True, None, 1)
    refused = headrace(mine, "versions", "drop", "user_activity:v1")
    assert (refused.returncode, "headrace apply" in refused.stderr) == (78, True)
    assert headrace(mine, "apply").returncode == 0
    assert versions(mine) == {"": (True, "unknown", 2), "user_activity:v1": (False, None, 1)}
    assert online(mine, "user_activity:count_2h")[1] == "PRESENT"
    settings = load(mine, {})
    (former,) = (one for one in kept_layers(settings) if one.name == "user_activity:v1")
    open_store(settings).covers(former.key, 1, ALWAYS_MS)
    refused = headrace(mine, "versions", "drop", "user_activity:v1")
    assert (refused.returncode, "a stream writes to" in refused.stderr) == (78, True)
    with closing(sqlite3.connect(settings.online.path)) as db, db:
        db.execute("DELETE FROM stream_span")
    dropped = headrace(mine, "versions", "drop", "user_activity:v1")
    assert dropped.returncode == 0, dropped.stderr
    assert versions(mine) == {"": (True, "unknown", 2)}
    assert online(mine, "user_activity:count_2h")[1] == "PRESENT"
    again = headrace(mine, "versions", "drop", "user_activity:v1")
    assert (again.returncode, "unknown namespace" in again.stderr) == (78, True)


DOCUMENT = """
import json, os, sys
from pathlib import Path
from headrace_features.portable_project import portable_in
from headrace_features.project import load_project
from headrace_schemas.settings import load
print(json.dumps(portable_in(load_project(load(Path.cwd(), os.environ)), sys.argv[1])))
"""


def document(shop: Path, namespace: str) -> dict[str, Any]:
    """What is declared, as a namespace keeps it."""
    command = [sys.executable, "-c", DOCUMENT, namespace]
    told = subprocess.run(command, cwd=shop, capture_output=True, text=True, check=True)
    found: dict[str, Any] = json.loads(told.stdout)
    return found


def test_a_version_that_is_registered_but_was_dropped_is_to_be_replayed_again(mine: Path) -> None:
    first = document(mine, "")
    declare_second(mine)
    assert headrace(mine, "apply").returncode == 0
    store = open_store(load(mine, {}))
    change_versions(store, lambda held: held.keeps("", first))
    (one,) = to_do(mine)["user_activity"]
    assert one["command"] == "headrace replay user_activity --to-version 2"
    assert "headrace promote" not in headrace(mine, "plan").stdout
    second = document(mine, "user_activity-v2")
    change_versions(store, lambda held: held.keeps("user_activity-v2", second))
    assert to_do(mine)["user_activity"] == []
    told = headrace(mine, "plan").stdout
    assert "version 1 is served; for this one: headrace promote user_activity --version 2" in told


def test_an_apply_that_was_killed_is_finished_by_the_next_one(mine: Path) -> None:
    assert headrace(mine, "apply").returncode == 0
    declare_second(mine)
    tiles = mine / ".headrace" / "warehouse" / "tiles" / "user_activity_v2"
    process = subprocess.Popen(
        [str(Path(sys.executable).with_name("headrace")), "apply"],
        cwd=mine,
        stdout=subprocess.DEVNULL,
    )
    deadline = time.monotonic() + 60
    while not tiles.exists() and time.monotonic() < deadline:
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    assert registered(mine)["user_activity"] == 1
    applied(mine)
    assert registered(mine)["user_activity"] == 2
    assert online(mine, "user_activity:count_2h")[1] == "PRESENT"
    assert to_do(mine)["user_activity"] == []


def test_apply_registers_a_view_of_mode_kappa_and_materializes_the_others(mine: Path) -> None:
    done = applied(mine, modes={"user_activity": "kappa"})
    assert (done["user_activity"]["done"], len(done["user_purchases"]["done"])) == ([], 1)
    assert registered(mine)["user_activity"] == 1


@contextmanager
def terminal(typed: str) -> Iterator[None]:
    """Somebody who can be asked, and what they answer."""
    ours, theirs = pty.openpty()
    os.write(ours, typed.encode())
    with os.fdopen(theirs) as before, pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "stdin", before)
        yield
    os.close(ours)


def ended(shop: Path, monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    """Run the command in this process, where all work takes long."""
    monkeypatch.chdir(shop)
    monkeypatch.setattr(apply, "_UNASKED_S", 0.0)
    monkeypatch.setattr(sys, "argv", ["headrace", *arguments])
    with pytest.raises(SystemExit) as end:
        cli.run()
    return int(end.value.code or 0)


def test_long_work_is_done_once_somebody_agrees(
    mine: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    assert ended(mine, monkeypatch, "apply") == 2
    assert "has to be confirmed" in capfd.readouterr().err
    with terminal("n\n"):
        assert ended(mine, monkeypatch, "apply") == 1
    assert registered(mine) == {}
    with terminal("y\n"):
        assert ended(mine, monkeypatch, "apply") == 0
    assert registered(mine)["user_activity"] == 1


def test_long_work_is_done_unasked_where_that_is_said(
    mine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert ended(mine, monkeypatch, "apply", "--yes") == 0
    assert registered(mine)["user_activity"] == 1


def test_a_view_of_mode_kappa_has_no_batch_layer(shop: Path) -> None:
    modes = {"user_activity": "kappa"}
    assert to_do(shop, modes=modes)["user_activity"] == []
    named = headrace(shop, "materialize", "--view", "user_activity", modes=modes)
    assert named.returncode == 78
    assert "user_activity has the mode kappa" in named.stderr
    assert len(named.stderr.splitlines()) == 1
    rest = headrace(shop, "materialize", "--json", modes=modes)
    assert rest.returncode == 0, rest.stderr
    assert [one["view"] for one in json.loads(rest.stdout)] == ["user_purchases"]


@pytest.mark.parametrize(
    ("modes", "told"),
    [
        ({"user_actvity": "kappa"}, "user_actvity"),
        ({"user_activity": "kapa"}, "kapa"),
    ],
)
def test_a_mode_that_is_not_known_is_refused_in_one_line(
    shop: Path, modes: dict[str, str], told: str
) -> None:
    planned = headrace(shop, "plan", modes=modes)
    assert (planned.returncode, planned.stdout) == (78, "")
    assert told in planned.stderr
    assert "[project.modes]" in planned.stderr
    assert len(planned.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    "command",
    [
        ("replay", "user_activity", "--to-version", "3"),
        ("replay", "nobody", "--to-version", "1"),
        ("replay", "user_activity", "--to-version", "1", "--from", "yesterday"),
        ("promote", "user_activity", "--version", "2"),
        ("rollback", "user_activity"),
        ("versions", "drop", "user_activity-v2"),
        ("parity", "user_activity", "--versions", "one"),
        ("parity", "--versions", "1,2"),
    ],
)
def test_what_is_asked_of_versions_wrongly_is_one_line(shop: Path, command: list[str]) -> None:
    asked = headrace(shop, *command)
    assert (asked.returncode, asked.stdout) == (78, "")
    assert asked.stderr.startswith("headrace: ")
    assert len(asked.stderr.splitlines()) == 1
