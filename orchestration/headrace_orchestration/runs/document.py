"""The runs of a project as one document for schedulers, which need nothing of Headrace to read it.

It names the files that it was made from, so that whoever keeps it sees when it no longer holds.
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from headrace_orchestration import submitted
from headrace_orchestration.runs.declared import runs_of
from headrace_schemas.setting_table import FILE_NAME

if TYPE_CHECKING:
    from headrace_features.project import Project
    from headrace_schemas.settings import Settings

#: Raised when a reader of documents would have to know of a change.
FORMAT = 1

_OURS = ("headrace_schemas", "headrace_features", "headrace_batch", "headrace_orchestration")


def dags_folder() -> Path:
    """The folder that Airflow reads: of the checkout, or of what is installed."""
    package = Path(__file__).resolve().parents[1]
    beside = package.with_name("dags")
    return beside if beside.is_dir() else package / "dags"


def document_of(settings: Settings, project: Project) -> dict[str, Any]:
    """The runs, how commands are submitted to Spark, and the files that all this follows from.

    Its fields: `format`; `project`, its name; `home` and `lineage`, its folders for data and for
    events of OpenLineage; `python`, the interpreter of Headrace; `spark_submit` and the `script` to
    submit, which takes the arguments of `headrace`; `runs`, see `Graph`; `made_from`, the SHA-256
    of each file by its path.
    """
    runs = runs_of(settings, project)
    return {
        "format": FORMAT,
        "project": project.name,
        "home": str(settings.home),
        "lineage": str(settings.lineage.path),
        "python": sys.executable,
        "spark_submit": str(Path(sys.executable).with_name("spark-submit")),
        "script": submitted.__file__,
        "runs": msgspec.json.decode(msgspec.json.encode(runs)),
        "made_from": {
            str(path): hashlib.sha256(path.read_bytes()).hexdigest()
            for path in sorted(set(_files(settings)))
        },
    }


def _files(settings: Settings) -> Iterator[Path]:
    """The settings, and the modules that declare the project or make runs of it."""
    packages = {*_OURS, *(name.partition(".")[0] for name in settings.project.definitions)}
    if settings.root is not None:
        yield settings.root / FILE_NAME
    for name, module in list(sys.modules.items()):
        place = getattr(module, "__file__", None)
        if place is None:
            continue
        path = Path(place)
        is_beside = settings.root is not None and path.is_relative_to(settings.root)
        if (is_beside and "site-packages" not in path.parts) or name.partition(".")[0] in packages:
            yield path
