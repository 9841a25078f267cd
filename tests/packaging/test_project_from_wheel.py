"""A new project works from an installed wheel, in a place that has nothing of this repository."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from deltalake import DeltaTable

from headrace_batch.jars import SPARK
from headrace_features import oracle
from headrace_features.java import java_home
from headrace_features.oracle import SpineRow
from headrace_features.project import Project, load_project
from headrace_schemas.settings import load
from headrace_streaming.jars import BROKER, CONNECTOR

ROOT = Path(__file__).parents[2]
#: Commands of other packages that the project's README uses.
OTHER_COMMANDS = ("feast", "pytest")


@dataclass(frozen=True)
class Machine:
    """An environment with the wheel and the locked packages, a home and a place to work: empty."""

    environment: Path
    home: Path
    work: Path

    def run(self, command: str, folder: Path) -> subprocess.CompletedProcess[str]:
        """Run a line of shell, as somebody does who has activated the environment."""
        return subprocess.run(
            ["/bin/bash", "-euo", "pipefail", "-c", command],
            env={
                "HOME": str(self.home),
                "PATH": f"{self.environment / 'bin'}:/usr/bin:/bin",
                "LANG": "C.UTF-8",
                "JAVA_HOME": str(java_home()),
                **{
                    archives.variable: os.pathsep.join(map(str, archives.paths()))
                    for archives in (BROKER, CONNECTOR)
                },
                "COLUMNS": "200",
            },
            cwd=folder,
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
        )


@dataclass(frozen=True)
class Step:
    """A command that was run, what it printed, and when (ms UTC)."""

    command: str
    output: str
    errors: str
    status: int
    began_ms: int
    ended_ms: int


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Machine:
    """A machine on which the wheel has just been installed."""
    top = tmp_path_factory.mktemp("machine")
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(top / "dist")]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True)
    (wheel,) = (top / "dist").glob("headrace-*.whl")
    uv = shutil.which("uv") or str(ROOT / ".tools" / "bin" / "uv")
    made = Machine(top / "environment", top / "home", top / "work")
    made.home.mkdir()
    made.work.mkdir()
    python = made.environment / "bin" / "python"
    install = ["pip", "install", "-q", "--no-deps", "--no-index", "--no-cache", "--python"]
    for arguments in (
        ["venv", "-q", "--no-project", "--python", sys.executable, str(made.environment)],
        [*install, str(python), str(wheel)],
    ):
        subprocess.run([uv, *arguments], cwd=top, check=True, capture_output=True)
    # A line in a .pth file adds a folder but doesn't follow the .pth files in it: the locked
    # packages are seen, the editable install of this checkout is not.
    (packages,) = made.environment.glob("lib/python*/site-packages")
    (packages / "locked.pth").write_text(sysconfig.get_paths()["purelib"])
    for name in OTHER_COMMANDS:
        _put_command(made.environment / "bin" / name, python, name)
    return made


@pytest.fixture(scope="module")
def steps(machine: Machine) -> Iterator[Mapping[str, Step]]:
    """What happened when the README of a new project was followed, by command."""
    made = [_step(machine, "headrace init shop", machine.work)]
    shop = machine.work / "shop"
    readme = (shop / "README.md").read_text()
    blocks = re.findall(r"^```sh\n(.*?)^```$", readme, re.MULTILINE | re.DOTALL)
    lines = [line for block in blocks for line in block.splitlines()]
    try:
        made += [_step(machine, line, shop) for line in lines]
        yield {step.command: step for step in made}
    finally:
        machine.run("headrace down", shop)


@pytest.fixture
def shop(machine: Machine, steps: Mapping[str, Step]) -> Path:
    """The project, after everything in its README."""
    assert steps
    return machine.work / "shop"


@pytest.fixture
def declared(shop: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    """What the project declares."""
    monkeypatch.setattr(sys, "path", list(sys.path))
    return load_project(load(shop, {}))


def _put_command(path: Path, python: Path, name: str) -> None:
    """A command of a locked package that runs in the environment of the wheel."""
    (entry,) = entry_points(group="console_scripts", name=name)
    module, function = entry.value.split(":")
    path.write_text(
        f"#!{python}\nimport sys\nfrom {module} import {function} as main\nsys.exit(main())\n"
    )
    path.chmod(0o755)


def _step(machine: Machine, command: str, folder: Path) -> Step:
    began_ms = _now_ms()
    done = machine.run(command, folder)
    return Step(command, done.stdout, done.stderr, done.returncode, began_ms, _now_ms())


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


def _events(shop: Path, declared: Project) -> list[dict[str, Any]]:
    names = [column.name for column in declared.source("activity").columns]
    lines = (shop / "events.jsonl").read_text().splitlines()
    return [{name: json.loads(line).get(name) for name in names} for line in lines]


def test_the_environment_uses_the_wheel_and_no_common_name(machine: Machine) -> None:
    code = (
        "import headrace_features, headrace_batch, headrace_orchestration, headrace_schemas, sys;"
        "print(*{m.__file__ for n, m in sys.modules.items() if n.startswith('headrace_')"
        " and n.count('.') == 0}, sep='\\n')"
    )
    places = machine.run(f'python -c "{code}"', machine.work).stdout.split()
    assert len(places) == 4
    assert all(Path(place).is_relative_to(machine.environment) for place in places)
    for name in ("streaming", "batch", "features", "schemas", "orchestration"):
        done = machine.run(f"python -c 'import {name}'", machine.work)
        assert f"No module named '{name}'" in done.stderr


def test_every_command_of_the_readme_works_as_it_is_written(steps: Mapping[str, Step]) -> None:
    assert len(steps) > 12
    failed = {s.command: s.output + s.errors for s in steps.values() if s.status != 0}
    assert failed == {}


def test_no_command_of_headrace_prints_to_standard_error(steps: Mapping[str, Step]) -> None:
    ours = [step for step in steps.values() if step.command.startswith("headrace")]
    assert {step.command: step.errors for step in ours if step.errors} == {}


def test_the_readme_uses_every_command_that_a_project_begins_with(
    steps: Mapping[str, Step],
) -> None:
    used = {" ".join(re.findall(r"^\w+(?: [a-z]+)*", command)) for command in steps}
    assert used >= {
        "headrace init shop",
        "headrace ingest",
        "headrace plan",
        "headrace apply",
        "headrace backfill",
        "headrace materialize",
        "headrace features get",
        "headrace features history",
        "headrace up",
        "headrace stream deploy",
        "headrace send",
        "headrace stream status",
        "headrace stream decisions",
        "headrace parity",
        "headrace stream stop",
        "headrace down",
        "pytest",
        "feast",
    }


def test_history_is_what_the_oracle_computes_from_the_events(shop: Path, declared: Project) -> None:
    rows = pq.read_table(shop / "features.parquet").to_pylist()
    spine = pq.read_table(shop / "spine.parquet").to_pylist()
    assert len(rows) > 100
    assert [{name: row[name] for name in spine[0]} for row in rows] == spine
    events = _events(shop, declared)
    asked = [SpineRow(row["user_id"], row["event_time"], row["event_id"]) for row in spine]
    for view in declared.views.values():
        found = [{name: row[f"{view.name}__{name}"] for name in view.feature_names} for row in rows]
        assert found == oracle.values(view, events, asked)


def test_backfilled_tables_hold_what_the_oracle_computes(shop: Path, declared: Project) -> None:
    events = _events(shop, declared)
    for name, kept in (
        ("user_activity", events),
        ("user_purchases", [event for event in events if event["action"] == "purchase"]),
    ):
        view = declared.view(name)
        table = DeltaTable(str(shop / f".headrace/warehouse/features/{name}_v1"))
        held = {row["event_id"]: row for row in table.to_pyarrow_table().to_pylist()}
        assert set(held) >= {event["event_id"] for event in kept}
        some = kept[:: len(kept) // 50]
        expected = oracle.values(
            view, events, [SpineRow(e["user_id"], e["event_time"], e["event_id"]) for e in some]
        )
        for event, values in zip(some, expected, strict=True):
            assert {n: held[event["event_id"]][n] for n in view.feature_names} == values


def test_spark_gives_the_same_from_the_wheel(machine: Machine, shop: Path, tmp_path: Path) -> None:
    jars = ":".join(map(str, SPARK.paths()))
    done = machine.run(
        f"export JAVA_HOME='{java_home()}' HEADRACE_SPARK_JARS='{jars}';"
        " headrace features history --service recommender --spine spine.parquet"
        f" --out '{tmp_path}/by_spark.parquet' --engine spark",
        shop,
    )
    assert done.returncode == 0, done.stderr
    assert pq.read_table(tmp_path / "by_spark.parquet") == pq.read_table(shop / "features.parquet")


def test_live_values_are_those_of_the_moment_they_were_asked_for(
    steps: Mapping[str, Step], shop: Path, declared: Project
) -> None:
    command = "headrace features get --feature user_activity:count_1h"
    step = next(step for line, step in steps.items() if line.startswith(command))
    ((name, value),) = json.loads(step.output)["features"].items()
    assert name == "user_activity__count_1h"
    at_most, at_least = (
        row["count_1h"]
        for row in oracle.values(
            declared.view("user_activity"),
            _events(shop, declared),
            [SpineRow("user-001", ms) for ms in (step.began_ms, step.ended_ms)],
        )
    )
    assert value in {at_most, at_least}
    assert value > 0


def test_values_as_of_a_time_are_what_the_oracle_computes(
    machine: Machine, shop: Path, declared: Project
) -> None:
    events = _events(shop, declared)
    chosen = events[len(events) * 3 // 4]
    done = machine.run(
        "headrace features get --service recommender --json"
        f" --entity user_id={chosen['user_id']} --as-of {chosen['event_time']}",
        shop,
    )
    assert done.returncode == 0, done.stderr
    asked = [SpineRow(chosen["user_id"], chosen["event_time"])]
    expected = {
        f"{view.name}__{name}": value
        for view in declared.views.values()
        for name, value in oracle.values(view, events, asked)[0].items()
    }
    assert json.loads(done.stdout)["features"] == expected


def test_the_tests_of_the_project_pass(steps: Mapping[str, Step]) -> None:
    assert "5 passed" in steps["pytest"].output


def test_feast_finds_registered_what_headrace_has_applied(steps: Mapping[str, Step]) -> None:
    assert "No changes" in steps["feast --chdir feature_repo plan"].output
    listed = steps["feast --chdir feature_repo feature-views list"].output
    assert {line.split()[0] for line in listed.splitlines()[1:]} == {
        "basket",
        "user_activity",
        "user_purchases",
    }


def test_ingesting_the_same_file_again_adds_nothing(machine: Machine, shop: Path) -> None:
    table = DeltaTable(str(shop / ".headrace/warehouse/bronze/activity"))
    before = table.to_pyarrow_table().num_rows
    assert before == len((shop / "events.jsonl").read_text().splitlines())
    done = machine.run("headrace ingest --file events.jsonl", shop)
    assert done.returncode == 0, done.stderr
    table.update_incremental()
    assert table.to_pyarrow_table().num_rows == before


def test_an_unknown_feature_is_refused_in_one_line_that_names_the_known(
    machine: Machine, shop: Path
) -> None:
    done = machine.run(
        "headrace features get --feature user_activity:count_2h --entity user_id=user-001", shop
    )
    assert done.returncode == 78
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    assert "unknown feature of user_activity 'count_2h', did you mean 'count_1h'?" in line


def test_a_changed_definition_needs_a_new_version(
    machine: Machine, shop: Path, tmp_path: Path
) -> None:
    changed = shutil.copytree(shop, tmp_path / "changed")
    module = changed / "shop_definitions.py"
    module.write_text(module.read_text().replace('Sliding("1h")', 'Sliding("2h")', 1))
    refused = machine.run("headrace plan", changed)
    assert refused.returncode == 78
    assert "user_activity: refused" in refused.stdout
    assert "count_2h" in refused.stdout
    assert "user_activity has changed without a new version" in refused.stderr
    doctor = machine.run("headrace doctor", changed)
    assert doctor.returncode == 1
    assert "not as declared: user_activity (refused)" in doctor.stdout
    module.write_text(module.read_text().replace("version=1", "version=2", 1))
    planned = machine.run("headrace plan", changed)
    assert planned.returncode == 0, planned.stderr
    assert "user_activity: changed, version 1 → 2" in planned.stdout


def test_definitions_that_cannot_be_imported_are_told_in_one_line(
    machine: Machine, shop: Path, tmp_path: Path
) -> None:
    broken = shutil.copytree(shop, tmp_path / "broken")
    (broken / "shop_definitions.py").write_text("import no_such_module\n")
    done = machine.run("headrace plan", broken)
    assert done.returncode == 78
    (line,) = done.stderr.splitlines()
    assert "'shop_definitions' can't be imported" in line
    assert "No module named 'no_such_module'" in line


def test_outside_a_project_there_is_the_built_in_one(machine: Machine, tmp_path: Path) -> None:
    done = machine.run("headrace plan --json", tmp_path)
    assert done.returncode == 0, done.stderr
    assert [change.get("view") or change["service"] for change in json.loads(done.stdout)] == [
        "card_activity",
        "terminal_risk",
        "transaction_context",
        "fraud",
        "fraud_scoring",
    ]
    assert list(tmp_path.iterdir()) == []


def test_a_project_is_not_made_over_another(machine: Machine, shop: Path) -> None:
    done = machine.run("headrace init shop", shop.parent)
    assert done.returncode == 78
    assert done.stderr.startswith(f"headrace: {shop} is there already")


def test_the_doctor_finds_the_project_and_its_stores(machine: Machine, shop: Path) -> None:
    done = machine.run("headrace doctor --json", shop)
    assert done.returncode == 0, done.stdout
    checks = {check["name"]: check for check in json.loads(done.stdout)["checks"]}
    assert checks["settings"]["found"] == f"project shop in {shop}/headrace.toml"
    assert checks["registry"]["found"].endswith("has views and services as they are declared")
    assert "user_activity before 20" in checks["online store"]["found"]
    assert checks["Headrace"]["found"].endswith(
        str(next(machine.environment.glob("lib/python*/site-packages")))
    )
