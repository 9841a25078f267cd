"""From sequence numbers to the order in which a state has taken its events in.

The place of an event is the number that its state had when it could first be seen. A decision sees
the events with places up to its own number.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from headrace_features.kernel.arrays import Bools, Ints

#: The place of an event that was never taken in.
NEVER = 1 << 62
#: The number of an event whose decision is missing.
UNKNOWN = -1


@dataclass(frozen=True, slots=True)
class Places:
    """Where each event of some entities stands.

    Attributes:
        place: of each event.
        broken: by entity, what is wrong with its numbers and which events show it.
    """

    place: Ints
    broken: dict[int, tuple[str, tuple[int, ...]]]


def told_places(entity: Ints, available_ms: Ints, sequence: Ints, *, ordered: bool) -> Places:
    """The places of events that were decided themselves: their decisions tell them.

    The numbers of an entity are 1, 2, 3, …, each with one event. In ordered mode the events of one
    instant share a number, which counts them all. An event without a decision gets the number
    that is missing.

    Args:
        entity: of each event the code of its entity.
        available_ms: when each could first be known.
        sequence: the number that its decision tells, or `UNKNOWN`.
        ordered: whether instants were taken in as a whole.
    """
    if ordered:
        place = instants(entity, available_ms)
        wrong = (sequence != UNKNOWN) & (sequence != place)
    else:
        order = np.lexsort((sequence, entity))
        place = np.empty(len(entity), np.int64)
        place[order] = ranks(entity[order])
        wrong = sequence != place
    broken: dict[int, tuple[str, tuple[int, ...]]] = {}
    suspects = np.unique(entity[wrong])
    for code, members in _members(entity, suspects):
        numbers = sequence[members]
        counted = _counted(numbers) if ordered else _singled(numbers)
        if isinstance(counted, str):
            shown = _shown(numbers, place[members], ordered=ordered)
            broken[code] = (counted, tuple(members[shown].tolist()))
        else:
            place[members] = counted
    return Places(place, broken)


@dataclass(frozen=True, slots=True)
class Sending:
    """When events were sent, ms UTC, to which partition, and in which order there."""

    sent_ms: Ints
    partition: Ints
    offset: Ints


def fact_places(entity: Ints, available_ms: Ints, sending: Sending, *, ordered: bool) -> Ints:
    """The places of events that nobody decided on, such as labels.

    In ordered mode they are taken in by their instants. Else it is the order of their partition;
    where an entity has events in several, no record tells their order, and they are taken to have
    come in the order of sending.
    """
    if ordered:
        return instants(entity, available_ms)
    partition = sending.partition
    by_entity = np.lexsort((partition, entity))
    changes = np.zeros(len(entity), np.bool_)
    same_entity = entity[by_entity][1:] == entity[by_entity][:-1]
    changes[1:] = same_entity & (partition[by_entity][1:] != partition[by_entity][:-1])
    divided = np.zeros(int(entity.max(initial=-1)) + 1, np.bool_)
    divided[entity[by_entity[changes]]] = True
    when = np.where(divided[entity], sending.sent_ms, 0)
    order = np.lexsort((sending.offset, partition, when, entity))
    place = np.empty(len(entity), np.int64)
    place[order] = ranks(entity[order])
    return place


def ranks(entity: Ints) -> Ints:
    """1, 2, 3, … for each run of equal entities."""
    rank = np.arange(1, len(entity) + 1)
    first = np.ones(len(entity), np.bool_)
    first[1:] = entity[1:] != entity[:-1]
    starts = np.flatnonzero(first)
    return rank - np.repeat(starts, np.diff(np.append(starts, len(entity))))


def instants(entity: Ints, available_ms: Ints) -> Ints:
    """For each event how many of its entity there are up to and with its instant."""
    order = np.lexsort((available_ms, entity))
    rank = ranks(entity[order])
    last = np.ones(len(order), np.bool_)
    last[:-1] = (np.diff(entity[order]) != 0) | (np.diff(available_ms[order]) != 0)
    ends = np.flatnonzero(last)
    place = np.empty(len(order), np.int64)
    place[order] = np.repeat(rank[ends], np.diff(np.append(-1, ends)))
    return place


def _members(entity: Ints, wanted: Ints) -> list[tuple[int, Ints]]:
    if not len(wanted):
        return []
    order = np.argsort(entity, kind="stable")
    starts = np.searchsorted(entity[order], wanted)
    ends = np.searchsorted(entity[order], wanted, side="right")
    return [
        (int(code), order[start:end])
        for code, start, end in zip(wanted, starts.tolist(), ends.tolist(), strict=True)
    ]


def _singled(numbers: Ints) -> Ints | str:
    """The numbers with those that are missing filled in, or what is wrong with them."""
    unknown = numbers == UNKNOWN
    counts = Counter(numbers[~unknown].tolist())
    free = [number for number in range(1, len(numbers) + 1) if number not in counts]
    if len(free) == unknown.sum():
        filled = numbers.copy()
        filled[unknown] = free
        return filled
    several = sorted(number for number, count in counts.items() if count > 1)
    beyond = sorted(number for number in counts if not 0 < number <= len(numbers))
    told = [
        *(f"{number} is told {counts[number]} times" for number in several),
        *(f"{number} is outside 1 … {len(numbers)}" for number in beyond),
        f"{_listed(free)} by none",
    ]
    return ", ".join(told)


def _counted(numbers: Ints) -> Ints | str:
    """The numbers, if each counts all events with numbers up to it, or what is wrong with them."""
    if (numbers == UNKNOWN).any():
        return "its numbers don't fit its instants, and a decision is missing"
    found, counts = np.unique(numbers, return_counts=True)
    wrong = found != np.cumsum(counts)
    if not wrong.any():
        return numbers
    first = int(np.flatnonzero(wrong)[0])
    return f"{found[first]} is told where {int(np.cumsum(counts)[first])} events are counted"


def _shown(numbers: Ints, expected: Ints, *, ordered: bool) -> Bools:
    """Which events show what is wrong."""
    known: Bools = numbers != UNKNOWN
    if ordered:
        known &= numbers != expected
    else:
        counts = Counter(numbers.tolist())
        size = len(numbers)
        known &= [counts[number] > 1 or not 0 < number <= size for number in numbers.tolist()]
    return known


def _listed(numbers: Sequence[int]) -> str:
    return ", ".join(map(str, numbers)) or "none"
