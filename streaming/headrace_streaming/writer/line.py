"""Which deployments the newest one goes on from, by what their jobs tell when they start.

Whoever names an older state to go on from leaves the deployments since then aside. What those have
written stays in the store, where nothing newer comes over it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from headrace_streaming.kafka.epochs import Deployed


class Line(NamedTuple):
    """The deployments of a project since the newest one that began anew, seen from the last.

    Attributes:
        members: those that the last one goes on from, in their order, and the last one.
        aside: the others that count: whose jobs have started, or that began anew.
        wrote: the numbers of those whose jobs have started.
    """

    members: Sequence[Deployed]
    aside: Sequence[Deployed]
    wrote: frozenset[int]

    def back_from(self, aside: Deployed) -> Deployed:
        """The first one that didn't go on from one which was left aside."""
        return next(one for one in self.members if one.epoch > aside.epoch)


def line_of(deployed: Sequence[Deployed], started: Mapping[int, int | None]) -> Line | None:
    """The line of the newest deployment that began anew, or whose job has started; None for none.

    Of one that was only announced it isn't known yet what it goes on from, or whether it ever will.

    Args:
        deployed: the deployments of the project, in their order.
        started: for each whose job has started the one whose state it goes on from, 0 for none;
            None where it doesn't tell, which is taken to be the one before it.
    """
    known = [one for one in deployed if one.told.anew or one.epoch in started]
    if not known:
        return None
    members = [known[-1]]
    while not members[0].told.anew:
        earlier = [one for one in known if one.epoch < members[0].epoch]
        if not earlier:
            break
        parent = started.get(members[0].epoch)
        members.insert(0, next((one for one in earlier if one.epoch == parent), earlier[-1]))
    aside = [one for one in known if one.epoch > members[0].epoch and one not in members]
    return Line(members, aside, frozenset(started))
