"""Nodes of the tree that is shown: data and what is declared of it, and runs that made it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from headrace_features.lineage.places import Place
from headrace_orchestration.lineage.graph import Graph
from headrace_orchestration.lineage.runs import Run

#: How far recorded runs are followed; a graph may have circles.
_DEEPEST = 8


@dataclass(frozen=True, slots=True)
class Node:
    """One thing.

    Attributes:
        kind: such as table, topic, file or service.
        name: what people call it.
        facts: what there is to know of it, by name.
        runs: the newest recorded run of each job that made it.
        following: what it was made of, or what was made of it.
    """

    kind: str
    name: str
    facts: Mapping[str, Any] = field(default_factory=dict)
    runs: tuple[Run, ...] = ()
    following: tuple[Node, ...] = ()

    def described(self) -> dict[str, Any]:
        """The same for programs."""
        return {
            "kind": self.kind,
            "name": self.name,
            **self.facts,
            "runs": [described_run(run) for run in self.runs],
            "following": [one.described() for one in self.following],
        }


def described_run(run: Run) -> dict[str, Any]:
    """A run for programs."""
    found: dict[str, Any] = {
        "job": run.job.name,
        "namespace": run.job.namespace,
        "run": run.run,
        "state": run.state,
        "began": run.began,
        "ended": run.ended,
    }
    if run.parent is not None:
        job, parent = run.parent
        found["parent"] = {"job": job.name, "namespace": job.namespace, "run": parent}
    return found


def recorded_above(graph: Graph, place: Place, but: Iterable[Place] = ()) -> tuple[Node, ...]:
    """What recorded runs made some data of, but for what is shown otherwise."""
    shown = {graph.named(place), *map(graph.named, but)}
    return _followed(graph, place, shown, up=True)


def recorded_below(graph: Graph, place: Place, but: Iterable[Place] = ()) -> tuple[Node, ...]:
    """What recorded runs made of some data, likewise."""
    shown = {graph.named(place), *map(graph.named, but)}
    return _followed(graph, place, shown, up=False)


def writers(graph: Graph, place: Place) -> tuple[Run, ...]:
    """The newest recorded run of each job that has written some data."""
    return tuple(graph.writers.get(graph.named(place), {}).values())


def _followed(
    graph: Graph, place: Place, seen: set[Place], *, up: bool, depth: int = 1
) -> tuple[Node, ...]:
    if depth > _DEEPEST:
        return ()
    found = graph.above(place) if up else graph.below(place)
    nodes = []
    for other, runs in found.items():
        if other in seen:
            continue
        seen.add(other)
        following = _followed(graph, other, seen, up=up, depth=depth + 1)
        facts = {"namespace": other.namespace}
        nodes.append(Node("data", other.name, facts, tuple(runs), following))
    return tuple(nodes)
