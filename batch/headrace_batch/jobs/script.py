"""How every script of this folder begins and ends."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from headrace_features.project import load_project
from headrace_schemas.errors import HeadraceError
from headrace_schemas.settings import load

if TYPE_CHECKING:
    from headrace_features.project import Project
    from headrace_schemas.settings import Settings

EPILOG = (
    "Views and tables are those of headrace.toml in the current directory or above; every setting "
    "can be given as an environment variable, such as HEADRACE_WAREHOUSE_PATH. PYSPARK_PYTHON has "
    "to name a Python in which Headrace is installed."
)


def run(
    parser: argparse.ArgumentParser,
    job: Callable[[argparse.Namespace, Settings, Project], None],
) -> None:
    """Run a job on the settings and the project of the current directory.

    An error is one line on standard error and a status that isn't 0.
    """
    arguments = parser.parse_args()
    try:
        settings = load(Path.cwd(), os.environ)
        job(arguments, settings, load_project(settings))
    except HeadraceError as error:
        sys.stderr.write(f"{parser.prog}: {error}\n")
        sys.exit(error.exit_code)
