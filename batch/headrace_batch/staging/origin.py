"""Where a training set comes from: what its manifest says of tables, topics, gates and software."""

from __future__ import annotations

import importlib.metadata
import platform
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from headrace_batch.provenance import events_made
from headrace_batch.quality.tables import gated_table
from headrace_batch.quality.verdicts import kept_verdicts
from headrace_batch.warehouse import Warehouse

if TYPE_CHECKING:
    from headrace_features.definitions.sources import EventSource
    from headrace_features.project import Project

_PACKAGES = ("headrace", "numpy", "pyarrow", "pyspark")


def tables_of(
    warehouse: Warehouse, sources: Iterable[EventSource], versions: Mapping[str, int]
) -> list[dict[str, Any]]:
    """Of each source: the version of its table, and what that was made of.

    Args:
        warehouse: where the tables are.
        sources: whose events features are made of.
        versions: by table the one that was read.
    """
    told = []
    for source in sources:
        made = events_made(warehouse, source, versions[source.table])
        found: dict[str, Any] = {
            "source": source.name,
            "table": source.table,
            "uri": warehouse.uri(source.table),
            "version": versions[source.table],
        }
        if made is not None:
            found["topic"] = source.topic if made.before else None
            found["offsets"] = {
                str(partition): {"first": made.first.get(partition), "before": before}
                for partition, before in made.before.items()
            }
            found["files"] = [one.file for one in made.files]
        told.append(found)
    return told


def verdicts_of(
    warehouse: Warehouse, project: Project, names: Iterable[str]
) -> list[dict[str, Any]]:
    """What gates said of the days of sources and views."""
    return [
        {
            "of": verdict.of,
            "table": verdict.table,
            "day": verdict.day.isoformat(),
            "passes": verdict.passes,
            "accepted": verdict.accepted or None,
        }
        for name in names
        if name in project.gates
        for verdict in kept_verdicts(warehouse, gated_table(project.gates[name]))
    ]


def software() -> dict[str, str]:
    """The versions of what made it."""
    found = {"python": platform.python_version()}
    for name in _PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found
