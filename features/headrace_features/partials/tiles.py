"""A tile: the partials of a span of time, with the chains of each session gap."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable
from typing import Any, NamedTuple

from headrace_features.partials.encoding import pack, unpack
from headrace_features.partials.kinds import Event
from headrace_features.partials.plan import PartialPlan, States


class Chain(NamedTuple):
    """Events whose neighbours are at most a gap apart: first and last time, and their states."""

    start_ms: int
    last_ms: int
    states: States


class Tile(NamedTuple):
    """The partials of some events, and for each session gap their chains in order of time."""

    states: States
    chains: tuple[tuple[Chain, ...], ...]


def empty_tile(plan: PartialPlan) -> Tile:
    """The tile of no events."""
    return Tile(plan.empty, ((),) * len(plan.gaps_ms))


def tile_of(plan: PartialPlan, event: Event) -> Tile:
    """The tile of one event."""
    states = plan.absorb(plan.empty, event)
    chain = (Chain(event.time_ms, event.time_ms, states),)
    return Tile(states, (chain,) * len(plan.gaps_ms))


def absorb(plan: PartialPlan, tile: Tile, event: Event) -> Tile:
    """The tile with one more event, at any time."""
    if not plan.gaps_ms:
        return Tile(plan.absorb(tile.states, event), ())
    return merge(plan, tile, tile_of(plan, event))


def fold(plan: PartialPlan, events: Iterable[Event]) -> Tile:
    """The tile of some events, in any order."""
    tile = empty_tile(plan)
    for event in events:
        tile = absorb(plan, tile, event)
    return tile


def merge(plan: PartialPlan, left: Tile, right: Tile) -> Tile:
    """The tile of two disjoint sets of events together."""
    return Tile(
        plan.merge(left.states, right.states),
        tuple(
            _joined(plan, gap_ms, a, b)
            for gap_ms, a, b in zip(plan.gaps_ms, left.chains, right.chains, strict=True)
        ),
    )


def newest_chains(tile: Tile) -> Tile:
    """The tile with only the newest chain of each gap."""
    return Tile(tile.states, tuple(chains[-1:] for chains in tile.chains))


def session(plan: PartialPlan, tile: Tile, gap_ms: int, end_ms: int) -> States:
    """The states of the newest chain, empty if it ended more than a gap before a time."""
    chains = tile.chains[bisect_left(plan.gaps_ms, gap_ms)]
    if not chains or end_ms - chains[-1].last_ms > gap_ms:
        return plan.empty
    return chains[-1].states


def encode(plan: PartialPlan, tile: Tile) -> bytes:
    """A tile as versioned msgpack."""
    chains = [
        [[c.start_ms, c.last_ms, _encode_states(plan, c.states)] for c in group]
        for group in tile.chains
    ]
    return pack([_encode_states(plan, tile.states), chains])


def decode(plan: PartialPlan, data: bytes) -> Tile:
    """The tile of encoded bytes.

    Raises:
        UnsupportedError: it was written in another version of the encoding.
    """
    states, chains = unpack(data)
    return Tile(
        _decode_states(plan, states),
        tuple(
            tuple(Chain(start, last, _decode_states(plan, inner)) for start, last, inner in group)
            for group in chains
        ),
    )


def _encode_states(plan: PartialPlan, states: States) -> list[Any]:
    return [partial.encode(state) for partial, state in zip(plan.partials, states, strict=True)]


def _decode_states(plan: PartialPlan, data: list[Any]) -> States:
    return tuple(partial.decode(state) for partial, state in zip(plan.partials, data, strict=True))


def _joined(
    plan: PartialPlan, gap_ms: int, left: tuple[Chain, ...], right: tuple[Chain, ...]
) -> tuple[Chain, ...]:
    if not left or not right:
        return left or right
    joined: list[Chain] = []
    for chain in sorted((*left, *right), key=lambda c: c[:2]):
        if joined and chain.start_ms - joined[-1].last_ms <= gap_ms:
            before = joined[-1]
            joined[-1] = Chain(
                before.start_ms,
                max(before.last_ms, chain.last_ms),
                plan.merge(before.states, chain.states),
            )
        else:
            joined.append(chain)
    return tuple(joined)
