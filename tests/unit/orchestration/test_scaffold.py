"""A new project is whole, valid and the same for the same moment."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from headrace_features.project import load_project
from headrace_orchestration import cli
from headrace_orchestration.sample_activity import EXAMPLE_USER
from headrace_orchestration.scaffold import create_project
from headrace_schemas.codec import Codec
from headrace_schemas.errors import ConfigurationError
from headrace_schemas.setting_table import SETTINGS
from headrace_schemas.settings import load

NOW_MS = 1_767_225_599_999  # the last millisecond of 2025
MINUTE_MS = 60_000
DAY_MS = 86_400_000


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A new project called seedling."""
    return create_project("seedling", tmp_path_factory.mktemp("made"), NOW_MS).folder


def texts_in(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): path.read_text()
        for path in folder.rglob("*")
        if path.is_file()
    }


def events_in(folder: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in (folder / "events.jsonl").read_text().splitlines()]


def test_a_new_project_has_every_file_that_it_says_it_has(tmp_path: Path) -> None:
    made = create_project("shop_2", tmp_path, NOW_MS)
    assert made.folder == tmp_path / "shop_2"
    assert set(made.files) == set(texts_in(made.folder))
    assert {"headrace.toml", "shop_2_definitions.py", "README.md", ".gitignore"} <= set(made.files)
    assert made.events == len(events_in(made.folder))
    assert list(tmp_path.iterdir()) == [made.folder]


def test_no_placeholder_is_left(project: Path) -> None:
    unfilled = {name for name, text in texts_in(project).items() if "{{" in name + text}
    assert unfilled == set()


def test_the_same_moment_gives_the_same_files(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    first = create_project("twin", tmp_path / "a", NOW_MS).folder
    second = create_project("twin", tmp_path / "b", NOW_MS).folder
    assert texts_in(first) == texts_in(second)


def test_the_settings_and_definitions_of_a_new_project_are_valid(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "path", list(sys.path))
    settings = load(project / "tests", {})
    assert (settings.root, settings.project.name) == (project, "seedling")
    declared = load_project(settings)
    assert list(declared.views) == ["user_activity", "user_purchases"]
    assert list(declared.on_demand) == ["basket"]
    assert list(declared.services) == ["recommender"]


def test_the_settings_that_are_commented_out_are_the_defaults(
    project: Path, tmp_path: Path
) -> None:
    lines = (project / "headrace.toml").read_text().splitlines()
    setting = re.compile(r"# (\[[\w.]+\]|[\w.]+ = ).*")
    full = "\n".join(line[2:] if setting.fullmatch(line) else line for line in lines)
    written = {one.name for one in SETTINGS if re.search(rf"^{one.key} = ", full, re.MULTILINE)}
    written |= {one.name for one in SETTINGS if f"\n[{one.name}]" in full}
    assert written == {one.name for one in SETTINGS}
    (tmp_path / "headrace.toml").write_text(full)
    with_all = load(tmp_path, {})
    (tmp_path / "headrace.toml").write_text((project / "headrace.toml").read_text())
    with_few = load(tmp_path, {})
    for name in ("home", "warehouse", "engine", "spark", "online", "serving", "feast"):
        chosen, default = getattr(with_all, name), getattr(with_few, name)
        if name == "warehouse":
            chosen, default = chosen.path, default.path
        if name == "spark":
            chosen, default = chosen.master, default.master
        assert chosen == default


def test_every_sample_event_keeps_to_the_contract(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "path", list(sys.path))
    source = load_project(load(project, {})).source("activity")
    codec = Codec(source.schema, keys=[source.dedup_key], times=[source.event_time])
    lines = (project / "events.jsonl").read_bytes().splitlines()
    decoded = [msgspec.structs.asdict(codec.decode(line)) for line in lines]
    assert len({event["event_id"] for event in decoded}) == len(decoded)
    bought = [event for event in decoded if event["action"] == "purchase"]
    assert len(bought) > 100
    assert all(event["amount_minor"] > 0 for event in bought)


def test_the_sample_events_are_those_of_the_last_ten_days_in_order(project: Path) -> None:
    times = [int(str(event["event_time"])) for event in events_in(project)]
    assert 1_500 < len(times) < 3_500
    assert times == sorted(times)
    assert NOW_MS - 10 * DAY_MS <= times[0] < NOW_MS - 9 * DAY_MS
    assert NOW_MS - 30 * MINUTE_MS < times[-1] <= NOW_MS


def test_the_example_user_is_in_the_middle_of_a_visit_and_in_the_readme(project: Path) -> None:
    recent = [
        event["action"]
        for event in events_in(project)
        if event["user_id"] == EXAMPLE_USER
        and int(str(event["event_time"])) > NOW_MS - 30 * MINUTE_MS
    ]
    assert set(recent) == {"view", "cart", "purchase"}
    assert f"--entity user_id={EXAMPLE_USER}" in (project / "README.md").read_text()


def test_the_readme_lists_files_that_exist(project: Path) -> None:
    listed = re.findall(r"^\| `([^`]+)` \|", (project / "README.md").read_text(), re.MULTILINE)
    assert len(listed) > 5
    assert [name for name in listed if not (project / name).exists()] == []


def test_the_python_of_a_new_project_is_formatted_and_free_of_findings(project: Path) -> None:
    ruff = [str(Path(sys.executable).with_name("ruff"))]
    options = ["--isolated", "--no-cache", "--line-length", "100"]
    rules = ["--select", "A,ARG,B,C4,E,F,I,N,PIE,PT,RET,RUF,SIM,UP,W"]
    for command in (["check", *options, *rules], ["format", "--check", *options]):
        done = subprocess.run(
            [*ruff, *command, "."], cwd=project, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr


def test_an_empty_folder_of_that_name_is_filled(tmp_path: Path) -> None:
    (tmp_path / "shop").mkdir()
    create_project("shop", tmp_path, NOW_MS)
    assert (tmp_path / "shop" / "headrace.toml").exists()


def test_a_folder_that_is_not_empty_is_left_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "shop").mkdir()
    (tmp_path / "shop" / "mine.txt").write_text("mine")
    with pytest.raises(ConfigurationError, match="shop is there already: a folder that is not"):
        create_project("shop", tmp_path, NOW_MS)
    assert texts_in(tmp_path) == {"shop/mine.txt": "mine"}


def test_a_file_of_that_name_is_left_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "shop").write_text("mine")
    with pytest.raises(ConfigurationError, match="shop is there already: a file"):
        create_project("shop", tmp_path, NOW_MS)
    assert texts_in(tmp_path) == {"shop": "mine"}


@pytest.mark.parametrize("name", ["", ".", "Shop", "my-shop", "1st", "a/b", "../up", "shop\n", "ü"])
def test_a_name_that_no_project_may_have_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(ConfigurationError, match="can't name a project: expected lower-case"):
        create_project(name, tmp_path, NOW_MS)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["shop", "x" * 300])
def test_a_place_that_cannot_be_written_is_named(tmp_path: Path, name: str) -> None:
    parent = tmp_path / "missing" if name == "shop" else tmp_path
    with pytest.raises(ConfigurationError, match="the project can't be made in"):
        create_project(name, parent, NOW_MS)
    assert list(tmp_path.iterdir()) == []


def test_simulated_transactions_are_not_for_a_project_that_reads_others(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(project)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr(sys, "argv", ["headrace", "simulate", "--rate", "10"])
    with pytest.raises(SystemExit) as ended:
        cli.run()
    assert ended.value.code == 78
    assert "seedling reads activity (send events of your own: headrace send)" in (
        capsys.readouterr().err
    )
