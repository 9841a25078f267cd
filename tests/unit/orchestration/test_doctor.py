"""The doctor finds what is missing, says what to do, and changes nothing."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest

from headrace_batch.jars import SPARK
from headrace_features import archives
from headrace_features.feast_plugin.changes import (
    MEANING_TAG,
    VERSION_TAG,
    Registered,
    asked_by,
)
from headrace_features.feast_plugin.registry_file import registered_services, registered_views
from headrace_features.fraud.definitions import fraud, fraud_scoring
from headrace_orchestration.diagnosis import machine, packages
from headrace_orchestration.diagnosis.checks import Check, Status
from headrace_orchestration.diagnosis.diagnose import Diagnosis, diagnose
from headrace_orchestration.diagnosis.packages import (
    Requirement,
    packages_check,
    requirements,
)
from headrace_orchestration.scaffold import create_project
from headrace_schemas.errors import ConfigurationError
from headrace_streaming.jars import BROKER, CONNECTOR

NOW_MS = 1_767_225_600_000


@pytest.fixture(autouse=True)
def apart(monkeypatch: pytest.MonkeyPatch) -> None:
    """Projects that are imported here leave no trace on the path."""
    monkeypatch.setattr(sys, "path", list(sys.path))


def found(diagnosis: Diagnosis) -> dict[str, Check]:
    return {check.name: check for check in diagnosis.checks}


def looked_at(start: Path, **environ: str) -> dict[str, Check]:
    return found(diagnose(start, environ))


def new_project(parent: Path, name: str) -> Path:
    return create_project(name, parent, NOW_MS).folder


def test_a_fresh_folder_has_no_problem_and_stays_empty(tmp_path: Path) -> None:
    diagnosis = diagnose(tmp_path, {})
    checks = found(diagnosis)
    assert diagnosis.problems == 0
    assert "the built-in project fraud" in checks["settings"].found
    assert "card_activity, terminal_risk" in checks["definitions"].found
    assert checks["Python"].status is Status.OK
    assert checks["Headrace"].found.startswith(metadata.version("headrace"))
    assert diagnosis.settings == ()
    assert list(tmp_path.iterdir()) == []


def test_what_comes_next_is_said_where_a_store_is_not_there_yet(tmp_path: Path) -> None:
    checks = looked_at(tmp_path)
    assert checks["online store"].advice == "made by: headrace materialize"
    assert checks["registry"].advice == "made by: headrace apply"


@pytest.mark.parametrize(
    ("engine", "status"), [("local", Status.WARNING), ("spark", Status.PROBLEM)]
)
def test_missing_java_is_a_problem_only_where_spark_is_the_engine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, engine: str, status: Status
) -> None:
    monkeypatch.delenv("JAVA_HOME", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(sys, "prefix", str(tmp_path))
    java = looked_at(tmp_path, HEADRACE_ENGINE_DEFAULT=engine)["Java"]
    assert java.status is status
    assert "needed is Java 17 or 21" in java.found
    assert "JAVA_HOME" in str(java.advice)


@pytest.mark.parametrize(
    ("name", "jars", "module"),
    [
        ("Spark's jars", SPARK, "headrace_batch.jars"),
        ("Kafka's jars", BROKER, "headrace_streaming.jars"),
        ("Flink's jars", CONNECTOR, "headrace_streaming.jars"),
    ],
)
def test_jars_that_were_never_fetched_are_missed_and_not_fetched(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    jars: archives.Archives,
    module: str,
) -> None:
    monkeypatch.delenv(jars.variable, raising=False)
    monkeypatch.setattr(archives, "_CHECKOUT", tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    check = looked_at(tmp_path)[name]
    assert check.status is Status.WARNING
    assert check.found.startswith(f"not in {tmp_path / 'cache' / 'headrace' / 'jars-'}")
    assert f"python -m {module}" in str(check.advice)
    assert list(tmp_path.iterdir()) == []


def test_an_operator_that_was_not_compiled_is_missed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert looked_at(tmp_path)["feature operator"].status is Status.OK
    monkeypatch.setattr(machine, "OPERATOR", tmp_path / "headrace-operator.jar")
    check = looked_at(tmp_path)["feature operator"]
    assert check == Check("feature operator", Status.WARNING, f"not in {tmp_path}", "make setup")


def test_jars_that_are_named_but_not_there_are_missed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(SPARK.variable, str(tmp_path / "gone.jar"))
    check = looked_at(tmp_path, HEADRACE_ENGINE_DEFAULT="spark")["Spark's jars"]
    assert check.status is Status.PROBLEM
    assert "gone.jar" in check.found


def test_every_requirement_of_headrace_is_understood_and_met() -> None:
    lines = metadata.requires("headrace") or []
    wanted = requirements(lines)
    assert len(wanted) == len(lines) > 10
    assert {requirement.extra for requirement in wanted} >= {None, "batch", "serving"}
    pyspark = next(requirement for requirement in wanted if requirement.name == "pyspark")
    assert pyspark.extra == "batch"
    assert pyspark.allows("4.1.1")
    assert not pyspark.allows("4.2.0")
    assert not pyspark.allows("4.1")


def test_what_gates_need_is_looked_for_where_there_are_gates(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "extra quality" not in looked_at(tmp_path)
    project = new_project(tmp_path, "watched")
    with (project / "watched_definitions.py").open("a") as file:
        file.write(
            "from headrace_features import Gate, Volume\ngate = Gate(activity, [Volume()])\n"
        )
    there = looked_at(project)["extra quality"]
    assert there.status is Status.OK
    monkeypatch.setattr(packages, "installed_versions", lambda _: {})
    check = looked_at(project)["extra quality"]
    assert check.status is Status.PROBLEM
    assert check.found == "not installed: great-expectations"
    assert check.advice == "pip install 'headrace[quality]', for the gates of activity"


def test_a_version_is_compared_by_its_numbers() -> None:
    exact = Requirement("delta-spark", "==4.3.1", "batch")
    assert exact.allows("4.3.1")
    assert not exact.allows("4.3.10")
    below = Requirement("numpy", ">=2.0,<2.2", None)
    assert below.allows("2.0")
    assert below.allows("2.1.3")
    assert not below.allows("2.2.0")
    assert not below.allows("2.10")


def test_a_missing_package_and_a_wrong_version_are_both_named() -> None:
    wanted = requirements(["pyspark[sql]<4.2,>=4.1.1; extra == 'batch'", "jgo>=3.2"])
    check = packages_check("extra batch", wanted, {"pyspark": "4.2.0"}, Status.WARNING, "do this")
    assert check == Check(
        "extra batch",
        Status.WARNING,
        "not installed: jgo; pyspark 4.2.0 is not <4.2,>=4.1.1",
        "do this",
    )


def test_a_wrong_setting_is_a_problem_that_names_its_place(tmp_path: Path) -> None:
    diagnosis = diagnose(tmp_path, {"HEADRACE_ENGINE_DEFAULT": "duck"})
    assert diagnosis.problems == 1
    assert "environment HEADRACE_ENGINE_DEFAULT is 'duck'" in found(diagnosis)["settings"].found


def test_settings_are_shown_with_their_source_and_without_secrets(tmp_path: Path) -> None:
    project = new_project(tmp_path, "open_book")
    environ = {
        "HEADRACE_WAREHOUSE_PATH": "s3://key:secret@bucket/tables",
        "HEADRACE_WAREHOUSE_STORAGE_OPTIONS": '{"AWS_SECRET_ACCESS_KEY": "secret"}',
    }
    diagnosis = diagnose(project, environ)
    shown = {one.name: (one.value, one.source) for one in diagnosis.settings}
    assert shown == {
        "project.name": ("open_book", f"{project}/headrace.toml [project] name"),
        "project.definitions": (
            "open_book_definitions",
            f"{project}/headrace.toml [project] definitions",
        ),
        "warehouse.path": ("s3://bucket/tables", "environment HEADRACE_WAREHOUSE_PATH"),
        "warehouse.storage_options": (
            "AWS_SECRET_ACCESS_KEY=***",
            "environment HEADRACE_WAREHOUSE_STORAGE_OPTIONS",
        ),
    }
    assert "secret@" not in repr(diagnosis)
    assert "'secret'" not in repr(diagnosis)


def test_a_variable_that_nothing_reads_is_a_warning_with_the_nearest(tmp_path: Path) -> None:
    environ = {"HEADRACE_STREAM_MOD": "ordered", "HEADRACE_DEBUG": "1", "HEADRACE_ZZZZZZZZ": "1"}
    found = [one for one in diagnose(tmp_path, environ).checks if one.name == "environment"]
    assert [(one.status, one.found, one.advice) for one in found] == [
        (Status.WARNING, "nothing reads HEADRACE_STREAM_MOD", "did you mean HEADRACE_STREAM_MODE?"),
        (Status.WARNING, "nothing reads HEADRACE_ZZZZZZZZ", "unset it"),
    ]


def test_definitions_that_cannot_be_imported_are_a_problem(tmp_path: Path) -> None:
    project = new_project(tmp_path, "broken_book")
    (project / "broken_book_definitions.py").write_text("import no_such_module\n")
    check = looked_at(project)["definitions"]
    assert check.status is Status.PROBLEM
    assert "No module named 'no_such_module'" in check.found


def test_a_warehouse_that_cannot_be_written_is_a_problem(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    checks = looked_at(tmp_path, HEADRACE_WAREHOUSE_PATH=str(tmp_path / "file" / "warehouse"))
    assert checks["warehouse"].status is Status.PROBLEM
    assert "from environment HEADRACE_WAREHOUSE_PATH" in str(checks["warehouse"].advice)


def test_an_online_store_that_is_none_is_a_problem(tmp_path: Path) -> None:
    (tmp_path / "online.db").write_text("nothing that SQLite knows" * 100)
    check = looked_at(tmp_path, HEADRACE_ONLINE_PATH=str(tmp_path / "online.db"))["online store"]
    assert check.status is Status.PROBLEM
    assert "file is not a database" in check.found


def test_redis_that_is_not_installed_is_a_problem_only_where_it_is_wanted(tmp_path: Path) -> None:
    nothing = str(tmp_path)
    assert "Redis" not in looked_at(tmp_path, PATH=nothing)
    another = {"HEADRACE_ONLINE_REDIS_URL": "redis://nowhere.invalid:1"}
    assert "Redis" not in looked_at(tmp_path, PATH=nothing, HEADRACE_ONLINE_TYPE="redis", **another)
    check = looked_at(tmp_path, PATH=nothing, HEADRACE_ONLINE_TYPE="redis")["Redis"]
    assert check.status is Status.PROBLEM
    assert "install" in str(check.advice)


def test_redis_that_is_too_old_is_a_problem(tmp_path: Path) -> None:
    old = tmp_path / "redis-server"
    old.write_text("#!/bin/sh\necho 'Redis server v=6.0.16 sha=00000000:0'\n")
    old.chmod(0o755)
    check = looked_at(tmp_path, PATH=str(tmp_path), HEADRACE_ONLINE_TYPE="redis")["Redis"]
    assert check == Check(
        "Redis", Status.PROBLEM, f"6.0.16 in {old}", "Redis 6.2 or newer is needed"
    )


@pytest.mark.parametrize("content", [b"\xff", b"\x32\x7f", b"\x0f\x01", b"nothing of the kind"])
def test_a_registry_that_is_none_is_a_problem(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "registry.db").write_bytes(content)
    check = looked_at(tmp_path, HEADRACE_FEAST_REGISTRY=str(tmp_path / "registry.db"))["registry"]
    assert check.status is Status.PROBLEM
    assert "registry.db can't be read" in check.found


def test_views_are_read_from_a_registry_as_feast_has_written_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from headrace_features.feast_plugin import repository
    from headrace_features.project import load_project
    from headrace_schemas.settings import load

    monkeypatch.chdir(tmp_path)
    settings = load(tmp_path, {})
    repository.apply(settings, load_project(settings))
    assert looked_at(tmp_path)["registry"].status is Status.OK
    views = registered_views(settings.feast.registry, "fraud")
    store = repository.feature_store(settings)
    by_feast = {
        view.name: Registered(int(view.tags[VERSION_TAG]), json.loads(view.tags[MEANING_TAG]))
        for view in (*store.list_feature_views(), *store.list_on_demand_feature_views())
    }
    assert views == by_feast
    assert set(views) == {"card_activity", "terminal_risk", "transaction_context"}
    assert registered_views(settings.feast.registry, "another") == {}
    services = registered_services(settings.feast.registry, "fraud")
    assert services == {service.name: asked_by(service) for service in (fraud, fraud_scoring)}
    cut = tmp_path / "cut.db"
    cut.write_bytes(settings.feast.registry.read_bytes()[:-10])
    with pytest.raises(ConfigurationError, match="it ends in the middle of a field"):
        registered_views(cut, "fraud")


def test_another_project_in_the_same_registry_is_told_from_this_one(tmp_path: Path) -> None:
    project = new_project(tmp_path, "second_book")
    (tmp_path / "registry.db").write_bytes(b"\x1a\x011")  # a schema version, and no views
    check = looked_at(project, HEADRACE_FEAST_REGISTRY=str(tmp_path / "registry.db"))["registry"]
    assert check == Check(
        "registry",
        Status.WARNING,
        "not as declared: basket (added), user_activity (added), user_purchases (added),"
        " service recommender (added)",
        "headrace plan, then headrace apply",
    )


def test_the_command_ends_with_an_error_where_there_is_a_problem(tmp_path: Path) -> None:
    good = _doctor(tmp_path, "--json")
    assert good.returncode == 0, good.stderr
    report = json.loads(good.stdout)
    assert report["problems"] == 0
    assert {check["name"] for check in report["checks"]} >= {"Java", "disk", "registry"}
    project = new_project(tmp_path, "third_book")
    (project / "headrace.toml").write_text("[project]\nname = 'third_book'\n")
    bad = _doctor(project)
    assert bad.returncode == 1
    assert "setting project.definitions is missing" in " ".join(bad.stdout.split())
    assert "problems: 1" in bad.stdout


def _doctor(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "headrace_orchestration.cli", "doctor", *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
