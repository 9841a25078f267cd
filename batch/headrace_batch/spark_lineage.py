"""What Spark is told so that it tells of its jobs itself, where a project asks for that.

It knows the plans: which tables a job reads and writes, and of columns where no Python is between.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from headrace_batch.jars import LISTENER

if TYPE_CHECKING:
    from pathlib import Path

    from headrace_schemas.settings import LineageSettings

#: The class that Spark calls.
CLASS = "io.openlineage.spark.agent.OpenLineageSparkListener"

_TRANSPORT = "spark.openlineage.transport"
#: In the names of the client in Java; what it calls otherwise stays with ours.
_OPTIONS = ("auth.type", "auth.apiKey", "compression", "endpoint")


def listener_jars(lineage: LineageSettings) -> tuple[Path, ...]:
    """The archives that have to be with Spark; none unless a project asks for the listener.

    Raises:
        ConfigurationError: they can't be fetched.
    """
    return LISTENER.paths() if lineage.spark_listener == "on" else ()


def listener_conf(lineage: LineageSettings) -> dict[str, str]:
    """The properties of Spark for the listener: where its events go, and which run is above."""
    if lineage.spark_listener != "on":
        return {}
    conf = {"spark.extraListeners": CLASS, "spark.openlineage.namespace": lineage.namespace}
    lineage.path.mkdir(parents=True, exist_ok=True)
    file = {"type": "file", "location": str(lineage.path / f"spark-{_month()}.ndjson")}
    if lineage.url is None:
        conf |= _prefixed(_TRANSPORT, file)
    else:
        options = {name: lineage.options[name] for name in _OPTIONS if name in lineage.options}
        server = {**options, "type": "http", "url": lineage.url}
        conf[f"{_TRANSPORT}.type"] = "composite"
        conf[f"{_TRANSPORT}.continueOnFailure"] = "true"
        conf |= _prefixed(f"{_TRANSPORT}.transports.file", file)
        conf |= _prefixed(f"{_TRANSPORT}.transports.server", server)
    return conf | _parents()


def _parents() -> dict[str, str]:
    from headrace_features.lineage.recording import above

    parents = above(os.environ)
    if parents is None:
        return {}
    found: dict[str, str] = {}
    for prefix, run in (("parent", parents.parent), ("rootParent", parents.root)):
        if run is not None:
            names = {"JobNamespace": run.namespace, "JobName": run.job, "RunId": run.run}
            found |= {f"spark.openlineage.{prefix}{name}": value for name, value in names.items()}
    return found


def _prefixed(prefix: str, values: Mapping[str, str]) -> dict[str, str]:
    return {f"{prefix}.{name}": value for name, value in values.items()}


def _month() -> str:
    return f"{datetime.now(UTC):%Y-%m}"
