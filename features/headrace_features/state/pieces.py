"""The pieces that a window is put together from: ranges of events, tiles, and rows of tiles."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from headrace_features.partials import tiles
from headrace_features.partials.blocks import EventBlock
from headrace_features.partials.partial import Partial
from headrace_features.partials.plan import PartialPlan
from headrace_features.partials.tiles import Chain, Tile, TileRow


class Events(NamedTuple):
    """The events of a block at the places from `start` to before `stop`."""

    block: EventBlock
    start: int
    stop: int

    def state(self, place: int, partial: Partial[Any]) -> Any:
        """The state of one partial of the view's plan, which has a place there."""
        del place
        return partial.fold(self.block, self.start, self.stop)

    def chains(self, plan: PartialPlan, place: int) -> Iterable[Chain]:
        """The chains of one gap of the view's plan, which has a place there."""
        return tiles.chains_of(plan, self.block, self.start, self.stop, plan.gaps_ms[place])


class Whole(NamedTuple):
    """One tile."""

    tile: Tile

    def state(self, place: int, partial: Partial[Any]) -> Any:
        """The state of one partial."""
        del partial
        return self.tile.states[place]

    def chains(self, plan: PartialPlan, place: int) -> Iterable[Chain]:
        """The chains of one gap."""
        del plan
        return self.tile.chains[place]


class Range(NamedTuple):
    """The tiles of a row at the places from `start` to before `stop`."""

    row: TileRow
    start: int
    stop: int

    def state(self, place: int, partial: Partial[Any]) -> Any:
        """The state of one partial."""
        return self.row.state(partial, place, self.start, self.stop)

    def chains(self, plan: PartialPlan, place: int) -> Iterable[Chain]:
        """The chains of one gap."""
        for at in range(self.start, self.stop):
            yield from self.row.chains_at(plan, at)[place]


Piece = Events | Whole | Range


def events_between(
    block: EventBlock, first_ms: int, last_ms: int, known_ms: int, left_out: bytes | None = None
) -> Events | None:
    """The events of a span that are known at a time, without one of them; None if there are none.

    Args:
        block: where they are.
        first_ms, last_ms: the span of event time, closed on both sides.
        known_ms: the time at which they have to be known.
        left_out: the dedup key of an event that doesn't count.
    """
    start, stop = block.between(first_ms, last_ms)
    if start == stop:
        return None
    left_out_here = left_out is not None and left_out in block.dedups
    if left_out_here or not block.are_known(start, stop, known_ms):
        places = [
            at
            for at in range(start, stop)
            if block.available_ms(at) <= known_ms
            and not (left_out_here and block.dedups[at] == left_out)
        ]
        block, start, stop = block.chosen(places), 0, len(places)
    return Events(block, start, stop)


def combined(plan: PartialPlan, pieces: Sequence[Piece], place: int) -> Any:
    """The state of one partial over all pieces together."""
    partial = plan.partials[place]
    if len(pieces) == 1:
        return pieces[0].state(place, partial)
    return partial.combine([piece.state(place, partial) for piece in pieces])


def chains_of(plan: PartialPlan, pieces: Sequence[Piece], place: int) -> tuple[Chain, ...]:
    """The chains of one gap over all pieces together."""
    found = (chain for piece in pieces for chain in piece.chains(plan, place))
    return tiles.joined(plan, plan.gaps_ms[place], found)
