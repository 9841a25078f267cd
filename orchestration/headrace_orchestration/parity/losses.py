"""States that took in events which are not there: what their numbers tell of how many, and where.

What came before the beginning of a recording has the first numbers. The events of one partition are
cut off at one place; those of several may have had numbers between the others.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from headrace_orchestration.parity.sequences import (
    NEVER,
    UNKNOWN,
    Places,
    instants,
    ranks,
    told_places,
)

if TYPE_CHECKING:
    from headrace_features.kernel.arrays import Bools, Ints


@dataclass(frozen=True, slots=True)
class Loss:
    """Which numbers of some entities belong to events that are not there.

    Attributes:
        count: by entity, how many.
        until: by entity, from which number on all of them had been taken in; `NEVER` where the
            numbers don't tell.
        scattered: the entities of which they may lie between the others.
    """

    count: Ints
    until: Ints
    scattered: Bools

    @classmethod
    def none(cls, entities: int) -> Loss:
        """Nothing is lost."""
        nothing = np.zeros(entities, np.int64)
        return cls(nothing, nothing, np.zeros(entities, np.bool_))

    @property
    def some(self) -> Bools:
        """The entities that have lost some, or may have."""
        found: Bools = (self.count > 0) | (self.until == NEVER)
        return found

    def most(self, counts: Ints) -> Ints:
        """By entity the greatest number that may be told, with so many events there."""
        most: Ints = np.where(self.scattered | (self.until == NEVER), NEVER, counts + self.count)
        return most


@dataclass(frozen=True, slots=True)
class Numbered:
    """Events as they came, and as their decisions number them.

    Attributes:
        entity: of each the code of its entity.
        available_ms: when each could first be known.
        sequence: the number that its decision tells, or `UNKNOWN`.
        partition: where it came from.
    """

    entity: Ints
    available_ms: Ints
    sequence: Ints
    partition: Ints


def lost_events(events: Numbered, entities: int, *, ordered: bool) -> Loss:
    """The numbers that decided events which are not there must have had.

    Args:
        events: those that are there.
        entities: above all codes of entities.
        ordered: whether instants were taken in as a whole.
    """
    known = events.sequence != UNKNOWN
    entity, sequence, partition = (
        column[known] for column in (events.entity, events.sequence, events.partition)
    )
    missing = sequence - _counted(events, known, ordered=ordered)
    least, most = np.full(entities, NEVER), np.zeros(entities, np.int64)
    first, last = np.full(entities, NEVER), np.full(entities, -1)
    np.minimum.at(least, entity, missing)
    np.maximum.at(most, entity, missing)
    np.minimum.at(first, entity, partition)
    np.maximum.at(last, entity, partition)
    single = first >= last
    count = np.maximum(np.where(single & (least < NEVER), least, most), 0)
    until = np.full(entities, NEVER)
    whole = missing == count[entity]
    np.minimum.at(until, entity[whole], sequence[whole])
    until[count == 0] = 0
    # What has no number may be anywhere.
    until[events.entity[~known]] = NEVER
    return Loss(count, until, ~single & (count > 0))


def lost_facts(facts: Ints, entity: Ints, sequence: Ints, *, later: bool) -> Loss:
    """The numbers of facts that are not there, as far as the answers leave no choice.

    Args:
        facts: by entity, how many facts there are.
        entity: of each answer the code of the entity.
        sequence: how many facts it tells.
        later: whether facts that are not there may have been taken in after an answer.
    """
    least, most = np.full(len(facts), NEVER), np.zeros(len(facts), np.int64)
    np.minimum.at(least, entity, sequence)
    np.maximum.at(most, entity, sequence)
    count = np.maximum(most - facts, 0)
    until = np.where((count == least) & (not later), 0, NEVER)
    return Loss(count, until, np.zeros(len(facts), np.bool_))


def lost_unseen(loss: Loss, events: Numbered, entity: Ints, sequence: Ints) -> Loss:
    """The same, also of entities that have no event there, by the answers about them.

    Events that a view's filter leaves out are decided on as well, and tell its numbers.

    Args:
        loss: by the events that are there.
        events: these.
        entity: of each answer the code of the entity.
        sequence: how many events it tells.
    """
    unseen = np.ones(len(loss.count), np.bool_)
    unseen[events.entity] = False
    told = lost_facts(np.zeros(len(unseen), np.int64), entity, sequence, later=False)
    return Loss(
        np.where(unseen, told.count, loss.count),
        np.where(unseen, told.until, loss.until),
        loss.scattered,
    )


def places_beside(events: Numbered, loss: Loss, *, ordered: bool) -> Places:
    """The places of decided events where others are not there, see `told_places`."""
    lost = loss.count[events.entity]
    known = events.sequence != UNKNOWN
    sequence = np.where(known, events.sequence - lost, UNKNOWN)
    found = told_places(events.entity, events.available_ms, sequence, ordered=ordered)
    apart = loss.scattered[events.entity] & known
    broken = {code: told for code, told in found.broken.items() if not loss.scattered[code]}
    return Places(np.where(apart, events.sequence, found.place + lost), broken)


def _counted(events: Numbered, known: Bools, *, ordered: bool) -> Ints:
    """What the numbers would be if nothing were lost."""
    if ordered:
        return instants(events.entity, events.available_ms)[known]
    entity, sequence = events.entity[known], events.sequence[known]
    rank = np.empty(len(entity), np.int64)
    order = np.lexsort((sequence, entity))
    rank[order] = ranks(entity[order])
    return rank
