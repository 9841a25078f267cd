from __future__ import annotations

import hashlib
import importlib.metadata
import importlib.util
import io
import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = (
    "headrace_batch",
    "headrace_shards",
    "headrace_features",
    "headrace_orchestration",
    "headrace_schemas",
    "headrace_streaming",
)
ARCHIVES = ROOT / "streaming" / "headrace_streaming" / "archives"
LISTENER = Path("headrace_batch", "archives", "lineage")
JAR_FOLDERS = (ROOT, ROOT / "batch" / LISTENER, ARCHIVES / "broker", ARCHIVES / "connector")
LOCKS = [
    *sorted((ROOT / "requirements").iterdir()),
    *(folder / name for folder in JAR_FOLDERS for name in ("jgo.toml", "jgo.lock.toml")),
]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.Path:
    folder = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    (built,) = folder.glob("headrace-*.whl")
    return zipfile.Path(built)


def test_the_wheel_holds_the_import_packages_and_nothing_else(wheel: zipfile.Path) -> None:
    tops = {entry.name for entry in wheel.iterdir() if not entry.name.endswith(".dist-info")}
    assert tops == set(PACKAGES)


def test_the_wheel_says_that_its_packages_are_typed(wheel: zipfile.Path) -> None:
    assert all((wheel / package / "py.typed").exists() for package in PACKAGES)


def test_the_wheel_has_what_airflow_reads(wheel: zipfile.Path) -> None:
    folder = wheel / "headrace_orchestration" / "dags"
    names = ("headrace_runs.py", "pools.json", ".airflowignore", "headrace_factory/build.py")
    for name in names:
        assert (folder / name).read_bytes() == (ROOT / "orchestration/dags" / name).read_bytes()


def test_the_wheel_carries_the_locks_of_its_jars(wheel: zipfile.Path) -> None:
    lock = (wheel / "headrace_batch" / "jgo.lock.toml").read_bytes()
    assert lock == (ROOT / "jgo.lock.toml").read_bytes()
    lock = (wheel / str(LISTENER) / "jgo.lock.toml").read_bytes()
    assert lock == (ROOT / "batch" / LISTENER / "jgo.lock.toml").read_bytes()
    for name in ("broker", "connector"):
        lock = (wheel / "headrace_streaming" / "archives" / name / "jgo.lock.toml").read_bytes()
        assert lock == (ARCHIVES / name / "jgo.lock.toml").read_bytes()


def test_the_wheel_carries_the_compiled_operator(wheel: zipfile.Path) -> None:
    jar = (wheel / "headrace_streaming" / "headrace-operator.jar").read_bytes()
    names = zipfile.ZipFile(io.BytesIO(jar)).namelist()
    assert "io/headrace/operator/stream/FeatureFunction.class" in names
    assert all(name.startswith(("io/headrace/", "io/", "META-INF/")) for name in names)


@pytest.mark.parametrize("name", ["batch", "features", "orchestration", "schemas", "streaming"])
def test_the_wheel_takes_no_common_name(wheel: zipfile.Path, name: str) -> None:
    assert not _finds(wheel, name)


def test_the_packages_are_found_in_the_wheel(wheel: zipfile.Path) -> None:
    assert all(_finds(wheel, package) for package in PACKAGES)


def _finds(wheel: zipfile.Path, name: str) -> bool:
    """Whether Python finds `name` with nothing but the wheel and its own library."""
    code = (
        "import importlib.util, sys; sys.path.insert(0, sys.argv[1]);"
        "sys.exit(importlib.util.find_spec(sys.argv[2]) is None)"
    )
    archive = str(wheel.root.filename)
    return (
        subprocess.run([sys.executable, "-ISc", code, archive, name], check=False).returncode == 0
    )


@pytest.mark.parametrize("package", PACKAGES)
def test_the_editable_install_leads_to_the_checkout(package: str) -> None:
    spec = importlib.util.find_spec(package)
    assert spec is not None
    assert spec.origin is not None
    assert Path(spec.origin).is_relative_to(ROOT)


def test_every_entry_point_leads_to_something() -> None:
    ours = importlib.metadata.distribution("headrace").entry_points
    found = {entry.name for entry in ours if entry.load()}
    assert found == {"headrace", "local", "spark", "kafka"}


def test_no_top_level_folder_is_a_package() -> None:
    assert list(ROOT.glob("*/__init__.py")) == []


@pytest.mark.parametrize("lock", LOCKS, ids=lambda lock: lock.name)
def test_no_lock_names_a_host(lock: Path) -> None:
    assert re.findall(r"\w+://\S*|--(?:extra-)?index-url|--find-links", lock.read_text()) == []


def test_every_requirement_is_pinned_within_its_range() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"].values()
    declared = [*project["dependencies"], *(line for lines in extras for line in lines)]
    lock = (ROOT / "requirements" / "dev.txt").read_text()
    pins = dict(re.findall(r"^([a-z0-9-]+)==([^\s;]+)", lock, re.MULTILINE))
    outside = {
        requirement.name: pins.get(requirement.name)
        for requirement in map(Requirement, declared)
        if not requirement.specifier.contains(pins.get(requirement.name, "0"))
    }
    assert outside == {}


@pytest.mark.parametrize("folder", JAR_FOLDERS, ids=lambda folder: folder.name)
def test_a_jar_lock_was_made_from_its_jar_list(folder: Path) -> None:
    lock = tomllib.loads((folder / "jgo.lock.toml").read_text())
    made_from = hashlib.sha256((folder / "jgo.toml").read_bytes()).hexdigest()
    assert made_from.startswith(lock["metadata"]["spec_hash"])
