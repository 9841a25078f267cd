"""Runs scripts of benchmarks in the environment of trainers, which has PyTorch and the peers."""

from __future__ import annotations

import inspect
import json
import os
import subprocess
import tempfile
from pathlib import Path
from typing import Any

from headrace_schemas.errors import ConfigurationError, HeadraceError
from headrace_shards import Loader

_SCRIPTS = Path(__file__).parent
_CHECKOUT = Path(__file__).resolve().parents[3]


def trainer_python(named: Path | None) -> Path:
    """The interpreter of the environment.

    Args:
        named: where that is, if not in the checkout.

    Raises:
        ConfigurationError: there is none.
    """
    python = named or _CHECKOUT / ".trainer-venv" / "bin" / "python"
    if not python.is_file():
        raise ConfigurationError(
            f"the peers' environment is not here: there is no {python}",
            hint="run make trainer-setup, or leave the peers out with --no-peer",
        )
    return python


def told_by(python: Path, script: str, *arguments: object, java: Path | None = None) -> Any:
    """What a script prints, which is a line of JSON; it runs on the cores of this thread.

    Args:
        python: of the environment.
        script: its name here.
        arguments: of it.
        java: a JDK, for a script that needs one.

    Raises:
        HeadraceError: it failed; the message has the end of what it said.
    """
    # Its libraries leave files where they run.
    with tempfile.TemporaryDirectory(prefix="headrace-bench-") as folder:
        for one in (Loader, HeadraceError):
            source = Path(inspect.getfile(one)).parent
            # Nothing else of this environment is for it.
            (Path(folder) / source.name).symlink_to(source)
        environ = {**os.environ, "PYTHONPATH": folder}
        if java is not None:
            environ["JAVA_HOME"] = str(java)
        done = subprocess.run(  # noqa: S603 - our own script
            # -P: what lies beside the script is not for it either.
            [str(python), "-P", str(_SCRIPTS / script), *map(str, arguments)],
            cwd=folder,
            env=environ,
            capture_output=True,
            text=True,
            check=False,
        )
    if done.returncode:
        said = [one for one in done.stderr.splitlines() if one.strip() and not one[0].isspace()]
        raise HeadraceError(f"{script} failed; it said last: {said[-1] if said else 'nothing'}")
    return json.loads(done.stdout.splitlines()[-1])
