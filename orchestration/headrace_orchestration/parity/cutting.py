"""Where a recording begins and ends.

It begins with what the run began with, as far as the topics still have it. It ends at one
checkpoint, so that everything before has its outcome.

The job's group tells its positions with each checkpoint. Barriers are aligned, so all that was read
before them has been decided, and what it led to is committed in the same moment; what was read
later is left aside, whatever it may already have led to. A job that ends or is stopped may not get
to tell its last positions, of some partitions or of all. Then its decisions tell them: they go
beyond the positions, which stay as they are, or have seen what lies beyond them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from headrace_orchestration.parity.facts import facts_missing
from headrace_orchestration.parity.recording import (
    DecisionLog,
    Recording,
    places_of,
    split_places,
)

if TYPE_CHECKING:
    from headrace_features.kernel.arrays import Bools, Ints
    from headrace_orchestration.parity.recording import SourceLog

#: By source and partition, before which offset all was read.
Positions: TypeAlias = Mapping[str, Mapping[int, int]]


def settled(recording: Recording, before: Positions, after: Positions) -> Positions:
    """Up to where a recording is whole.

    Args:
        recording: all that the topics hold.
        before: the positions that were told before the topics were read.
        after: those that were told afterwards.
    """
    decided = {log.decisions.source.name for log in recording.decisions.values()}
    if before != after:
        return before
    beyond = any(
        not _inside(places_of(log.table), before.get(log.decisions.source.name, {})).all()
        for log in recording.decisions.values()
    )
    if not beyond and not facts_missing(until(recording, before)):
        return before
    return {
        # Nothing is decided about the events of other sources, such as labels. One that was not
        # read is taken for one that has yet to be.
        name: _ends(
            _outcomes(recording, log) if name in decided else log.place, before.get(name, {})
        )
        for name, log in recording.sources.items()
    }


def until(recording: Recording, positions: Positions) -> Recording:
    """A recording cut off at some positions."""
    ledger, dead = recording.ledger, recording.dead_letters
    in_ledger = np.zeros(len(ledger), np.bool_)
    in_dead = np.zeros(len(dead), np.bool_)
    for name, log in recording.sources.items():
        told = positions.get(name, {})
        of_source = pc.equal(ledger["source"], name).to_numpy()
        in_ledger |= of_source & _inside(places_of(ledger), told)
        of_topic = pc.equal(dead["topic"], log.source.topic).to_numpy()
        in_dead |= of_topic & _inside(places_of(dead), told)
    return replace(
        recording,
        sources={
            name: _kept(log, partial(_inside, positions=positions.get(name, {})))
            for name, log in recording.sources.items()
        },
        decisions={
            name: DecisionLog(
                log.decisions,
                _before(log.table, positions.get(log.decisions.source.name, {})),
            )
            for name, log in recording.decisions.items()
        },
        ledger=ledger.filter(pa.array(in_ledger)),
        dead_letters=dead.filter(pa.array(in_dead)),
    )


def since(recording: Recording) -> Recording:
    """A recording without what came before its beginnings.

    Decisions on records that were deleted are counted, and left out as well.
    """
    gone: dict[str, int] = {}
    decisions = {}
    for name, log in recording.decisions.items():
        begin = recording.begin(log.decisions.source.name)
        place = places_of(log.table)
        lost = _inside(place, begin.told) & ~_inside(place, begin.first)
        gone[name] = int(lost.sum())
        decisions[name] = DecisionLog(log.decisions, log.table.filter(pa.array(~lost)))
    return replace(
        recording,
        sources={
            name: _kept(log, partial(_outside, positions=recording.begin(name).offsets))
            for name, log in recording.sources.items()
        },
        decisions=decisions,
        gone=gone,
    )


def _before(table: pa.Table, positions: Mapping[int, int]) -> pa.Table:
    return table.filter(pa.array(_inside(places_of(table), positions))).combine_chunks()


def _kept(log: SourceLog, wanted: Callable[[Ints], Bools]) -> SourceLog:
    inside = wanted(log.place)
    bad = np.array(list(log.bad), np.int64)
    left = bad[wanted(bad)].tolist()
    return replace(
        log,
        events=log.events.filter(pa.array(inside)).combine_chunks(),
        place=log.place[inside],
        partition=log.partition[inside],
        sent_ms=log.sent_ms[inside],
        bad={place: log.bad[place] for place in left},
    )


def _inside(place: Ints, positions: Mapping[int, int]) -> Bools:
    """Which records were read before some positions."""
    partition, offset = split_places(place)
    ends = np.zeros(max([*positions, int(partition.max(initial=0))]) + 1, np.int64)
    ends[list(positions)] = list(positions.values())
    inside: Bools = offset < ends[partition]
    return inside


def _outside(place: Ints, positions: Mapping[int, int]) -> Bools:
    return ~_inside(place, positions)


def _outcomes(recording: Recording, source: SourceLog) -> Ints:
    """The records of a decided source of which something was told."""
    name, topic = source.source.name, source.source.topic
    ledger = recording.ledger
    told = [
        places_of(log.table)
        for log in recording.decisions.values()
        if log.decisions.source.name == name
    ]
    told.append(places_of(ledger.filter(pc.equal(ledger["source"], name))))
    told.append(recording.dead_places(topic))
    return np.concatenate(told)


def _ends(place: Ints, before: Mapping[int, int]) -> dict[int, int]:
    """By partition the end of some records, or what was told where that is further."""
    partition, offset = split_places(place)
    ends = dict(before)
    for number in np.unique(partition).tolist():
        ends[number] = max(ends.get(number, 0), int(offset[partition == number].max()) + 1)
    return ends
