"""One graph of all recorded runs: which data was made of which, and by which jobs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from headrace_features.lineage.places import Place
from headrace_orchestration.lineage.runs import Job, Run


@dataclass(frozen=True, slots=True)
class Graph:
    """What jobs have read and written; data that has several names is known by one.

    Attributes:
        names: of places with another name the one that counts.
        writers: by place the newest run of each job that has written it.
        readers: by place the newest run of each job that has read it.
    """

    names: Mapping[Place, Place]
    writers: Mapping[Place, Mapping[Job, Run]]
    readers: Mapping[Place, Mapping[Job, Run]]

    def named(self, place: Place) -> Place:
        """The name of a place that counts."""
        return self.names.get(place, place)

    def above(self, place: Place) -> dict[Place, list[Run]]:
        """The data that some data was made of, each with the newest runs that did it."""
        found: dict[Place, list[Run]] = {}
        for run in self.writers.get(self.named(place), {}).values():
            for one in run.reads:
                found.setdefault(self.named(one), []).append(run)
        return found

    def below(self, place: Place) -> dict[Place, list[Run]]:
        """The data that was made of some data, likewise."""
        found: dict[Place, list[Run]] = {}
        for run in self.readers.get(self.named(place), {}).values():
            for one in run.writes:
                found.setdefault(self.named(one), []).append(run)
        return found


def graph_of(runs: Iterable[Run]) -> Graph:
    """The graph of some runs, in the order in which they began; those that failed made nothing."""
    worked = [run for run in runs if run.has_worked]
    names = _names(worked)
    writers: dict[Place, dict[Job, Run]] = {}
    readers: dict[Place, dict[Job, Run]] = {}
    for run in worked:
        for places, found in ((run.writes, writers), (run.reads, readers)):
            for place in places:
                found.setdefault(names.get(place, place), {})[run.job] = run
    return Graph(names, writers, readers)


def _names(runs: Iterable[Run]) -> dict[Place, Place]:
    """By OpenLineage's facet of symlinks: a table of a catalogue is the folder that it is in."""
    found: dict[Place, Place] = {}
    for run in runs:
        for place, facets in (*run.reads.items(), *run.writes.items()):
            for other in _identifiers(facets):
                if other != place:
                    found.setdefault(other, place)
    return {other: _last(found, place) for other, place in found.items()}


def _identifiers(facets: Mapping[str, Any]) -> list[Place]:
    told = (facets.get("symlinks") or {}).get("identifiers") or ()
    return [Place(str(one.get("namespace", "")), str(one.get("name", ""))) for one in told]


def _last(names: Mapping[Place, Place], place: Place) -> Place:
    seen = {place}
    while (place := names.get(place, place)) not in seen:
        seen.add(place)
    return place
