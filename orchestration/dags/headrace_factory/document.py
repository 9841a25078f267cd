"""The runs of a project as `headrace run list --json` tells them, kept for as long as they hold.

A DAG file is read again every few seconds. The document names the files that it follows from, with
their hashes: it is asked for anew once one of them, or a setting in the environment, is another.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

FORMAT = 1
_PATIENCE_S = 20.0
_CHECKOUT = Path(__file__).resolve().parents[3]


class NoRunsError(Exception):
    """What there is to do can't be told; the message says why, and what to do."""


def project_folder(environ: Mapping[str, str] = os.environ) -> Path:
    """The project's folder: that of `headrace.toml`, or where the built-in one has its data.

    Raises:
        NoRunsError: nothing says where that is.
    """
    named = environ.get("HEADRACE_FOLDER")
    if named:
        return Path(named)
    if not (_CHECKOUT / "orchestration/dags").is_dir():
        raise NoRunsError("set HEADRACE_FOLDER to the folder of the project, with headrace.toml")
    return _CHECKOUT


def headrace_command(environ: Mapping[str, str] = os.environ) -> str:
    """The command `headrace`: HEADRACE_COMMAND, that of this checkout, or the one on the path.

    Raises:
        NoRunsError: there is none.
    """
    named = environ.get("HEADRACE_COMMAND")
    beside = str(_CHECKOUT / ".venv/bin/headrace")
    found = shutil.which(named or beside) or (None if named else shutil.which("headrace"))
    if found is None:
        raise NoRunsError(
            f"there is no command {named or 'headrace'}: install Headrace in an environment of its"
            " own and set HEADRACE_COMMAND to its headrace"
        )
    return found


def runs_document(
    folder: Path, kept_in: Path, environ: Mapping[str, str] = os.environ
) -> dict[str, Any]:
    """What there is to do in a project.

    Args:
        folder: of the project.
        kept_in: the folder in which documents are kept.
        environ: of which the settings of Headrace are passed on.

    Raises:
        NoRunsError: the command isn't there, or ends with an error.
    """
    command = headrace_command(environ)
    settings = {name: text for name, text in environ.items() if name.startswith("HEADRACE_")}
    # Settings may be secret: only their hash is written down.
    asked = _digest(json.dumps([str(folder), command, settings], sort_keys=True).encode())
    kept = kept_in / f"{_digest(str(folder).encode())[:16]}.json"
    document = _kept(kept)
    if document is None or document.get("asked") != asked or not _holds(document):
        document = {**_told(command, folder, environ), "asked": asked}
        _keep(kept, document)
    return document


def _kept(path: Path) -> dict[str, Any] | None:
    try:
        found = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) and found.get("format") == FORMAT else None


def _holds(document: Mapping[str, Any]) -> bool:
    for path, digest in document["made_from"].items():
        try:
            if _digest(Path(path).read_bytes()) != digest:
                return False
        except OSError:
            return False
    return True


def _told(command: str, folder: Path, environ: Mapping[str, str]) -> dict[str, Any]:
    try:
        done = subprocess.run(  # noqa: S603 - the command that was chosen
            [command, "run", "list", "--json"],
            cwd=folder,
            env=environment(environ),
            capture_output=True,
            text=True,
            timeout=_PATIENCE_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise NoRunsError(f"the runs of {folder} can't be told: {error}") from None
    if done.returncode:
        said = done.stderr.strip().splitlines()
        raise NoRunsError(
            f"the runs of {folder} can't be told: {said[-1] if said else done.returncode}"
        )
    found: dict[str, Any] = json.loads(done.stdout)
    if found.get("format") != FORMAT:
        raise NoRunsError(
            f"{command} tells runs in format {found.get('format')}, and these DAGs read {FORMAT}:"
            " take both from the same release"
        )
    return found


def environment(environ: Mapping[str, str]) -> dict[str, str]:
    """What a command of Headrace gets: its interpreter is to find no modules of Airflow's."""
    return {name: text for name, text in environ.items() if name != "PYTHONPATH"}


def _keep(path: Path, document: Mapping[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    new = path.with_name(f"{path.name}.{os.getpid()}")
    new.write_text(json.dumps(document), encoding="utf-8")
    new.replace(path)


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
