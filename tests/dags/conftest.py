"""An Airflow of its own for the tests, with the DAGs of the built-in project."""

from __future__ import annotations

import atexit
import os
import shutil
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest

from dags.dag_folder import DAGS, Dags

_HOME = Path(tempfile.mkdtemp(prefix="headrace-airflow-"))
atexit.register(shutil.rmtree, _HOME, ignore_errors=True)

# Airflow reads these when it is imported.
for _name in [name for name in os.environ if name.startswith(("AIRFLOW", "HEADRACE_"))]:
    del os.environ[_name]
os.environ |= {
    "AIRFLOW_HOME": str(_HOME / "airflow"),
    "AIRFLOW__CORE__DAGS_FOLDER": str(DAGS),
    "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
    "AIRFLOW__LOGGING__LOGGING_LEVEL": "WARNING",
    "HEADRACE_FOLDER": str(_HOME),
}
# As Airflow does with the folder of a bundle.
sys.path.append(str(DAGS))


@pytest.fixture(scope="session")
def dags() -> Dags:
    """The DAGs of the folder, as Airflow finds them."""
    from airflow.dag_processing.dagbag import BundleDagBag

    bag = BundleDagBag(DAGS, bundle_path=DAGS, bundle_name="dags-folder")
    assert bag.import_errors == {}
    return dict(bag.dags)


@pytest.fixture
def script(tmp_path: Path) -> Callable[[str], str]:
    """Makes a command of some lines for a shell."""

    def make(lines: str) -> str:
        path = tmp_path / "headrace"
        path.write_text(f"#!/bin/sh\n{lines}\n")
        path.chmod(0o755)
        return str(path)

    return make
