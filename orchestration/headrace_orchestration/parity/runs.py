"""Which deployments make up a run of the job, and where it began."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING

import numpy as np

from headrace_features.definitions.views import SEPARATOR
from headrace_orchestration.parity.recording import Beginning, split_places
from headrace_schemas.errors import ConfigurationError
from headrace_streaming.job.assembly import consumer_group
from headrace_streaming.kafka.reading import reached

if TYPE_CHECKING:
    from headrace_features.definitions.sources import EventSource
    from headrace_features.project import Project
    from headrace_orchestration.parity.cutting import Positions
    from headrace_orchestration.parity.recording import SourceLog
    from headrace_streaming.kafka.epochs import Deployed


_FIRST_POSITIONS_MS = 60_000


def positions_of(
    config: Mapping[str, str],
    project: Project,
    known: list[Deployed],
    sources: Mapping[str, EventSource],
) -> dict[int, Positions]:
    """What the newest deployments have told of their positions, back to one that told some."""
    found: dict[int, Positions] = {}
    for deployed in reversed(known):
        group = consumer_group(project.full_name, deployed.epoch)
        found[deployed.epoch] = {
            name: reached(config, group, source.topic) for name, source in sources.items()
        }
        if any(found[deployed.epoch].values()):
            break
    return found


def tells_soon(
    known: list[Deployed],
    positions: Mapping[int, Positions],
    decided: Mapping[str, Collection[int]],
    now_ms: float,
) -> bool:
    """Whether the newest deployment is so young that its first positions may be on their way.

    A broker takes decisions at once, but a moment to make room for the first positions of all.
    Each reader of a job tells those of its own partitions.

    Args:
        known: all deployments.
        positions: what they have told, by epoch.
        decided: by source whose events are decided on, since their positions matter, the
            partitions that hold some.
        now_ms: the time, as the broker's records have it.
    """
    if not known or now_ms > known[-1].at_ms + _FIRST_POSITIONS_MS:
        return False
    told = positions.get(known[-1].epoch, {})
    return any(not set(held) <= set(told.get(name, ())) for name, held in decided.items())


def newest_run(known: list[Deployed], epochs: Collection[int]) -> list[Deployed]:
    """The deployments of the newest run that has done something.

    Args:
        known: all deployments.
        epochs: those that have decided something, or told positions.

    Raises:
        ConfigurationError: there is none.
    """
    active = [place for place, deployed in enumerate(known) if deployed.epoch in epochs]
    if not active:
        raise ConfigurationError(
            "no job of this project has completed a checkpoint on this broker",
            hint="headrace stream deploy",
        )
    anew = [place for place in active if known[place].told.anew]
    return known[max(anew, default=active[0]) : active[-1] + 1]


def beginning(
    first: Deployed,
    log: SourceLog,
    ends: Mapping[int, tuple[int, int]],
    whole_from_ms: int | None,
) -> Beginning:
    """From where on a source's topic has what a run was given, and all that was told of it.

    Args:
        first: the deployment that the run began with.
        log: all that the topic holds.
        ends: by partition the offset of the oldest record, and that of the next one.
        whole_from_ms: when the oldest records were sent of which no decision was deleted.
    """
    told = {partition: oldest for partition, (oldest, _) in ends.items()}
    if whole_from_ms is not None:
        partition, offset = split_places(log.place[log.sent_ms < whole_from_ms])
        for number in np.unique(partition).tolist():
            after = int(offset[partition == number].max()) + 1
            told[number] = max(told.get(number, 0), after)
    starts = (first.told.starts or {}).get(log.source.name, {})
    return Beginning(starts, told, history=first.told.bootstrapped)


def added_features(run: list[Deployed]) -> frozenset[str]:
    """The features, as decisions name them, that some deployment of a run did not declare."""
    declared: list[set[str]] = [
        {
            f"{view}{SEPARATOR}{name}"
            for view, names in deployed.told.features.items()
            for name in names
        }
        for deployed in run
        if deployed.told.features is not None
    ]
    if not declared:
        return frozenset()
    first, *others = declared
    return frozenset(first.union(*others) - first.intersection(*others))
