"""A tile: the partials of a span of time, with the chains of each session gap."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from headrace_features.partials.blocks import EventBlock
from headrace_features.partials.encoding import pack, unpack
from headrace_features.partials.packed import pack_integers, unpack_column
from headrace_features.partials.partial import Partial
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


def fold(plan: PartialPlan, block: EventBlock, start: int = 0, stop: int | None = None) -> Tile:
    """The tile of the events at the places from `start` to before `stop`."""
    end = len(block) if stop is None else stop
    chains = tuple(tuple(chains_of(plan, block, start, end, gap_ms)) for gap_ms in plan.gaps_ms)
    return Tile(plan.fold(block, start, end), chains)


def chains_of(
    plan: PartialPlan, block: EventBlock, start: int, stop: int, gap_ms: int
) -> Iterable[Chain]:
    """The chains of the events at the places from `start` to before `stop`."""
    times = block.times
    first = start
    for place in range(start, stop):
        after = place + 1
        if after == stop or times[after] - times[place] > gap_ms:
            yield Chain(times[first], times[place], plan.fold(block, first, after))
            first = after


def merge(plan: PartialPlan, tiles: Sequence[Tile]) -> Tile:
    """The tile of disjoint sets of events together."""
    return Tile(
        plan.combine([tile.states for tile in tiles]),
        tuple(
            joined(plan, gap_ms, (chain for tile in tiles for chain in tile.chains[place]))
            for place, gap_ms in enumerate(plan.gaps_ms)
        ),
    )


def newest_chains(tile: Tile) -> Tile:
    """The tile with only the newest chain of each gap."""
    return Tile(tile.states, tuple(chains[-1:] for chains in tile.chains))


def joined(plan: PartialPlan, gap_ms: int, chains: Iterable[Chain]) -> tuple[Chain, ...]:
    """Chains, in whatever order, as those that they are together."""
    done: list[Chain] = []
    for chain in sorted(chains, key=lambda c: c[:2]):
        if done and chain.start_ms - done[-1].last_ms <= gap_ms:
            before = done[-1]
            done[-1] = Chain(
                before.start_ms,
                max(before.last_ms, chain.last_ms),
                plan.combine([before.states, chain.states]),
            )
        else:
            done.append(chain)
    return tuple(done)


def session(chains: Sequence[Chain], gap_ms: int, end_ms: int) -> Chain | None:
    """The newest of joined chains; None if it ended over a gap before a time."""
    if not chains or end_ms - chains[-1].last_ms > gap_ms:
        return None
    return chains[-1]


def encode(plan: PartialPlan, tile: Tile) -> bytes:
    """A tile as versioned msgpack."""
    return pack([_encode_states(plan, tile.states), _encode_chains(plan, tile)])


def decode(plan: PartialPlan, data: bytes) -> Tile:
    """The tile of encoded bytes.

    Raises:
        UnsupportedError: it was written in another version of the encoding.
    """
    states, chains = unpack(data)
    return Tile(_decode_states(plan, states), _decode_chains(plan, chains))


@dataclass(frozen=True, slots=True)
class TileRow:
    """Tiles of one width, written by partials, so that a range of them is merged at once.

    Attributes:
        indexes: which days or hours they are of, ascending.
        partials: for each partial the encoded states of all tiles.
        chains: of each tile, encoded.
        opened: by place in the plan, states that were read already.
    """

    indexes: Sequence[int]
    partials: Sequence[Any]
    chains: Sequence[Any]
    opened: dict[int, Any] = field(default_factory=dict)

    def range(self, first: int, last: int) -> tuple[int, int]:
        """The places of the tiles with indexes from `first` to `last`."""
        return bisect_left(self.indexes, first), bisect_left(self.indexes, last + 1)

    def state(self, partial: Partial[Any], place: int, start: int, stop: int) -> Any:
        """The state of one partial in the tiles at the places from `start` to before `stop`."""
        if place not in self.opened:
            self.opened[place] = partial.opened(self.partials[place])
        return partial.range(self.opened[place], start, stop)

    def tile(self, plan: PartialPlan, place: int) -> Tile:
        """One of the tiles."""
        states = (
            self.state(partial, at, place, place + 1) for at, partial in enumerate(plan.partials)
        )
        return Tile(tuple(states), self.chains_at(plan, place))

    def chains_at(self, plan: PartialPlan, place: int) -> tuple[tuple[Chain, ...], ...]:
        """The chains of one tile."""
        return _decode_chains(plan, self.chains[place]) if self.chains else ()


def encode_row(plan: PartialPlan, indexes: Sequence[int], tiles: Sequence[Tile]) -> bytes:
    """Some tiles of one width as versioned msgpack."""
    partials = [
        partial.encode_all([tile.states[place] for tile in tiles])
        for place, partial in enumerate(plan.partials)
    ]
    chains = [_encode_chains(plan, tile) for tile in tiles] if plan.gaps_ms else []
    return pack([pack_integers(indexes), partials, chains])


def rewritten(plan: PartialPlan, row: TileRow, first: int, tiles: Mapping[int, Tile]) -> bytes:
    """A row as it is with other tiles in it.

    Those that stay are taken over as they are encoded, since a row may have many.

    Args:
        plan: the partials of the view.
        row: the tiles that there are.
        first: tiles with indexes before it are left out.
        tiles: by index, which take the place of those that there are.
    """
    fresh = sorted(index for index in tiles if index >= first)
    held = list(row.indexes)
    start = bisect_left(held, first)
    # Nearly always the fresh ones come after all that stay.
    stop = bisect_left(held, fresh[0]) if fresh else len(held)
    later = [at for at in range(stop, len(held)) if held[at] not in tiles]
    indexes = [*held[start:stop], *fresh, *(held[at] for at in later)]
    order = sorted(range(len(indexes)), key=indexes.__getitem__) if later else None

    def spliced(old: Sequence[Any], new: Sequence[Any]) -> list[Any]:
        column = [*old[start:stop], *new, *(old[at] for at in later)]
        return column if order is None else [column[at] for at in order]

    partials = []
    for place, partial in enumerate(plan.partials):
        states = partial.encode_all([tiles[index].states[place] for index in fresh])
        both = zip(partial.spread(row.partials[place]), partial.spread(states), strict=True)
        partials.append(partial.gathered([spliced(*columns) for columns in both]))
    chains: list[Any] = []
    if plan.gaps_ms:
        chains = spliced(row.chains, [_encode_chains(plan, tiles[index]) for index in fresh])
    return pack([pack_integers(sorted(indexes)), partials, chains])


class EncodedRow(NamedTuple):
    """Tiles of one width as they are written: indexes packed, states by partials, and chains."""

    indexes: bytes
    partials: list[Any]
    chains: list[Any]


def read_row(data: bytes) -> EncodedRow:
    """What a row of tiles is made of.

    Raises:
        UnsupportedError: it was written in another version of the encoding.
    """
    return EncodedRow(*unpack(data))


def decode_row(data: bytes) -> TileRow:
    """Tiles of encoded bytes.

    Raises:
        UnsupportedError: they were written in another version of the encoding.
    """
    indexes, partials, chains = read_row(data)
    return TileRow(unpack_column(indexes), partials, chains)


def _encode_chains(plan: PartialPlan, tile: Tile) -> list[Any]:
    return [
        [[c.start_ms, c.last_ms, _encode_states(plan, c.states)] for c in group]
        for group in tile.chains
    ]


def _decode_chains(plan: PartialPlan, data: Any) -> tuple[tuple[Chain, ...], ...]:
    return tuple(
        tuple(Chain(start, last, _decode_states(plan, inner)) for start, last, inner in group)
        for group in data
    )


def _encode_states(plan: PartialPlan, states: States) -> list[Any]:
    return [partial.encode(state) for partial, state in zip(plan.partials, states, strict=True)]


def _decode_states(plan: PartialPlan, data: list[Any]) -> States:
    return tuple(partial.decode(state) for partial, state in zip(plan.partials, data, strict=True))
