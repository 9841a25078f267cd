"""What changed definitions need is told before it is done, and views have their modes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest


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
