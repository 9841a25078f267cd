from __future__ import annotations

import json
import subprocess
import sys

import pytest

# An engine or a library that takes a second or more, or gigabytes, to load.
HEAVY = {"duckdb", "feast", "great_expectations", "pandas", "pyflink", "pyspark", "torch"}

LOADED_BY = """
import importlib, json, pkgutil, sys
package, spared, everything = sys.argv[1], sys.argv[2], sys.argv[3] == "everything"
before = set(sys.modules)
names = [package]
if everything:
    path = importlib.import_module(package).__path__
    names = [found.name for found in pkgutil.walk_packages(path, package + ".")]
for name in names:
    if not name.startswith(spared or "-") and not name.endswith("__main__"):
        importlib.import_module(name)
print(json.dumps(sorted({name.partition(".")[0] for name in set(sys.modules) - before})))
"""


def loaded_by(package: str, *, everything: bool = False, spared: str = "") -> set[str]:
    """The top-level modules that a fresh interpreter loads for a package, or for all of it."""
    scope = "everything" if everything else "package"
    command = [sys.executable, "-c", LOADED_BY, package, spared, scope]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return set(json.loads(done.stdout))


@pytest.mark.parametrize(
    "package",
    [
        "headrace_batch",
        "headrace_features",
        "headrace_orchestration",
        "headrace_schemas",
        "headrace_shards",
        "headrace_streaming",
    ],
)
def test_importing_a_package_loads_no_heavy_library(package: str) -> None:
    assert loaded_by(package) & HEAVY == set()


def test_the_schemas_load_msgspec_and_the_standard_library_alone() -> None:
    loaded = loaded_by("headrace_schemas", everything=True)
    loaded -= {"typing_extensions"}  # msgspec takes it where it is
    assert loaded - sys.stdlib_module_names == {"headrace_schemas", "msgspec"}


def test_a_loader_needs_numpy_alone() -> None:
    loaded = loaded_by("headrace_shards")
    assert loaded - sys.stdlib_module_names == {"headrace_schemas", "headrace_shards", "numpy"}


def test_the_features_load_no_engine_outside_the_feast_integration() -> None:
    loaded = loaded_by("headrace_features", everything=True, spared="headrace_features.feast")
    assert loaded & (HEAVY | {"delta", "deltalake", "headrace_batch"}) == set()


def test_the_feast_integration_loads_no_other_engine() -> None:
    loaded = loaded_by("headrace_features", everything=True)
    assert loaded & {"great_expectations", "headrace_batch", "pyflink", "pyspark", "torch"} == set()


def test_the_batch_path_loads_no_engine_but_spark() -> None:
    loaded = loaded_by("headrace_batch", everything=True)
    assert loaded & {"feast", "great_expectations", "pyflink", "torch"} == set()


def test_the_stream_loads_no_engine_but_flink() -> None:
    loaded = loaded_by("headrace_streaming", everything=True)
    assert loaded & {"feast", "great_expectations", "headrace_batch", "pyspark", "torch"} == set()


def test_the_command_loads_no_heavy_library_before_it_is_told_what_to_do() -> None:
    assert loaded_by("headrace_orchestration.cli") & HEAVY == set()
