"""The stream layer of an entity, read for one time.

While time goes on the stream adds to an entity's state:

    r<n>    the events of day n (since 1970, UTC), while they are few
    x<n>    the events of hour n of a day with more, while they are few
    y<n>    the events of minute n of an hour with more, while they are few
    z<n>    the events of second n of a minute with more
    h<n>    the tile of hour n, if more are in it, once it has ended
    d<n>    the tile of day n, unless next to none are in it, once it has ended
    s<n>    events of day n that became known too late to be in the tile of their hour
    l<n>    events of minute n that came when others of their time were no longer held
    m       up to when there are events that are in no field, see `lacking`

Every other event is in one of the blocks r, x, y, z and l, which begin at x, y or z where a view's
windows are short. What has come to have too many events is divided: first the finer blocks are
written, then the coarse one is emptied. One that isn't empty hides all finer ones inside its range,
and the tiles of hours. Tiles save reading the blocks that they span. What the stream takes in again
after a failure may be in l the second time.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import NamedTuple

from headrace_features.definitions.durations import DAY_MS, HOUR_MS, MINUTE_MS, SECOND_MS
from headrace_features.definitions.windows import BEGINNING_MS
from headrace_features.partials import tiles
from headrace_features.partials.blocks import EventBlock
from headrace_features.partials.events import decode_events, joined
from headrace_features.partials.plan import PartialPlan
from headrace_features.state.lacking import LACKING, lacking_of
from headrace_features.state.pieces import Events, Piece, Whole, events_between


class Widths(NamedTuple):
    """How long the ranges are that fields are about, ms: each divides the next."""

    second_ms: int = SECOND_MS
    minute_ms: int = MINUTE_MS
    hour_ms: int = HOUR_MS
    day_ms: int = DAY_MS


CALENDAR = Widths()

# For each letter of a field its place among the widths.
_PLACES = {"z": 0, "y": 1, "l": 1, "x": 2, "h": 2, "r": 3, "d": 3, "s": 3}
_BLOCKS = frozenset("rxyz")
_TILES = frozenset("hd")
# So many blocks are looked at sooner than they are made into one, or passed over for tiles.
_FEW = 4
# For each letter the coarser blocks that hide it.
_COARSER = {"x": "r", "h": "rx", "y": "rx", "z": "rxy"}


def _by_letter(widths: Widths) -> dict[str, int]:
    return {letter: widths[place] for letter, place in _PLACES.items()}


_CALENDAR_MS = _by_letter(CALENDAR)


class _Stretch(NamedTuple):
    """A range of time: its tile, if it has one, the ranges inside, and the blocks of the rest."""

    start_ms: int
    end_ms: int
    tile: str | None
    parts: list[_Stretch]
    blocks: list[str]


class StreamLayer:
    """What the stream has written for one entity, as it is known at one time."""

    def __init__(
        self,
        plan: PartialPlan,
        fields: Mapping[str, bytes],
        time_ms: int,
        widths: Widths = CALENDAR,
    ) -> None:
        self.plan = plan
        self.fields = fields
        self.time_ms = time_ms
        self._widths_ms = _CALENDAR_MS if widths is CALENDAR else _by_letter(widths)
        self._read: dict[str, EventBlock] = {}
        self._seen = _seen(_there(fields), widths)
        self._lone = [name for name in self._seen if name[0] == "l"]
        self._whole = self._divided()

    def pieces(self, first_ms: int, last_ms: int, left_out: bytes | None) -> list[Piece]:
        """What makes up the known events of a span.

        Args:
            first_ms, last_ms: the span, closed on both sides.
            left_out: the dedup key of an event that doesn't count. It is looked for among the
                events, so that no tiles are read then.
        """
        found: list[Piece] = []
        self._add_within(found, self._whole, first_ms, last_ms, left_out)
        if self._lone:
            self._add_alone(found, (first_ms, last_ms), left_out)
        return found

    def late_pieces(
        self, first_ms: int, last_ms: int, known_ms: int, left_out: bytes | None
    ) -> list[Piece]:
        """What makes up the events of a span that became known after a time.

        Tiles don't tell when what they are made of became known: they aren't read.

        Args:
            first_ms, last_ms, left_out: see `pieces`.
            known_ms: ms UTC.
        """
        found: list[Piece] = []
        for piece in self._events(first_ms, last_ms, left_out):
            block = piece.block
            places = range(piece.start, piece.stop)
            late = [at for at in places if block.available_ms(at) > known_ms]
            if late:
                found.append(Events(block.chosen(late), 0, len(late)))
        return found

    def _events(self, first_ms: int, last_ms: int, left_out: bytes | None) -> list[Events]:
        """The known events of a span."""
        found: list[Piece] = []
        for name in self._seen:
            if name[0] in _BLOCKS and self._overlaps(name, (first_ms, last_ms)):
                self._add(found, self._block(name), first_ms, last_ms, left_out)
        self._add_alone(found, (first_ms, last_ms), left_out)
        self._add_hidden(found, (first_ms, last_ms), left_out)
        return [piece for piece in found if isinstance(piece, Events)]

    def _add_hidden(
        self, found: list[Piece], span: tuple[int, int], left_out: bytes | None
    ) -> None:
        """Add what only hidden blocks have.

        Where a batch layer covers all that is in a field it is swept, an empty one too. A writer
        that reads the updates again may put its former content back, which would hide finer blocks.
        """
        hidden = _hidden_blocks(_there(self.fields), self._seen)
        if not hidden:
            return
        counted = {
            event
            for name in self._seen
            if name[0] not in _TILES
            for event in zip(self._block(name).times, self._block(name).dedups, strict=True)
        }
        for name in hidden:
            block = self._block(name)
            events = list(zip(block.times, block.dedups, strict=True))
            places = [at for at, event in enumerate(events) if event not in counted]
            counted.update(events)
            self._add(found, block.chosen(places), *span, left_out)

    def _add_within(
        self,
        found: list[Piece],
        stretch: _Stretch,
        first_ms: int,
        last_ms: int,
        left_out: bytes | None,
    ) -> None:
        if stretch.end_ms < first_ms or last_ms < stretch.start_ms:
            return
        whole = first_ms <= stretch.start_ms and stretch.end_ms <= last_ms
        if stretch.tile is not None and whole and left_out is None:
            self._add_tile(found, stretch)
            return
        for part in stretch.parts:
            self._add_within(found, part, first_ms, last_ms, left_out)
        for block in self._blocks(stretch.blocks):
            self._add(found, block, first_ms, last_ms, left_out)

    def _add_tile(self, found: list[Piece], stretch: _Stretch) -> None:
        """Add a tile and the events that stand beside it."""
        found.append(Whole(tiles.decode(self.plan, self.fields[str(stretch.tile)])))
        late = f"s{stretch.start_ms // self._widths_ms['s']}"
        if self.fields.get(late):
            self._add(found, self._block(late), stretch.start_ms, stretch.end_ms)

    def _add_alone(self, found: list[Piece], span: tuple[int, int], left_out: bytes | None) -> None:
        """Add events that stand alone.

        After a failure the stream may take for late what it took in time before: such an event
        stands in another block as well, and counts once.
        """
        for name in self._lone:
            if not self._overlaps(name, span):
                continue
            same_time = span_of(name, self._widths_ms)
            elsewhere = {
                event
                for other in self._seen
                if other[0] in _BLOCKS and self._overlaps(other, same_time)
                for event in zip(self._block(other).times, self._block(other).dedups, strict=True)
            }
            block = self._block(name)
            events = zip(block.times, block.dedups, strict=True)
            places = [at for at, event in enumerate(events) if event not in elsewhere]
            self._add(found, block.chosen(places), *span, left_out)

    def _add(
        self,
        found: list[Piece],
        block: EventBlock,
        first_ms: int,
        last_ms: int,
        left_out: bytes | None = None,
    ) -> None:
        """Add the events of a span in a block, if there are any."""
        piece = events_between(block, first_ms, last_ms, self.time_ms, left_out)
        if piece is not None:
            found.append(piece)

    def _divided(self) -> _Stretch:
        """All time, divided into days and hours where these have tiles."""
        whole = _Stretch(BEGINNING_MS, -BEGINNING_MS, None, [], [])
        tiled = [name for name in self._seen if name[0] in "dh"]
        blocks = [name for name in self._seen if name[0] in _BLOCKS]
        if not tiled or len(blocks) <= _FEW:
            whole.blocks.extend(blocks)
            return whole
        day_ms, hour_ms = self._widths_ms["d"], self._widths_ms["h"]
        stretches = {
            name: _Stretch(*span_of(name, self._widths_ms), name, [], []) for name in tiled
        }
        for name in tiled:
            around = f"d{stretches[name].start_ms // day_ms}" if name[0] == "h" else ""
            stretches.get(around, whole).parts.append(stretches[name])
        for name in blocks:
            start_ms = self._start_ms(name)
            hour = stretches.get(f"h{start_ms // hour_ms}") if name[0] != "r" else None
            inside = hour or stretches.get(f"d{start_ms // day_ms}") or whole
            inside.blocks.append(name)
        return whole

    def _overlaps(self, name: str, span: tuple[int, int]) -> bool:
        first_ms, last_ms = span_of(name, self._widths_ms)
        return first_ms <= span[1] and span[0] <= last_ms

    def _start_ms(self, name: str) -> int:
        return span_of(name, self._widths_ms)[0]

    def _blocks(self, names: list[str]) -> Sequence[EventBlock]:
        """Blocks of events, none of which overlaps another; many are made into one."""
        if len(names) <= _FEW:
            return list(map(self._block, names))
        key = " ".join(names)
        if key not in self._read:
            self._read[key] = joined(list(map(self._block, sorted(names, key=self._start_ms))))
        return (self._read[key],)

    def _block(self, name: str) -> EventBlock:
        if name not in self._read:
            self._read[name] = decode_events(self.fields[name])
        return self._read[name]


def is_covered(name: str, content: bytes, boundary_ms: int, known_ms: int | None) -> bool:
    """Whether all that a field has is in a batch layer.

    Args:
        name: of the field.
        content: of it.
        boundary_ms: the layer has the events before it.
        known_ms: it has those that were known by then; None where it leaves none out.
    """
    if name == LACKING:
        lacking = lacking_of({name: content})
        return lacking is None or lacking.is_in_batch(boundary_ms, known_ms)
    if span_of(name)[1] >= boundary_ms:
        return False
    if known_ms is None or not content or name[0] in _TILES:
        return True
    block = decode_events(content)
    return all(block.available_ms(at) <= known_ms for at in range(len(block)))


def _hidden_blocks(there: Sequence[str], seen: Sequence[str]) -> list[str]:
    """The blocks with content that coarser ones hide, coarse ones first."""
    blocks = {name for name in there if name[0] in _BLOCKS}
    return sorted(blocks.difference(seen), key=_coarse_first)


def _coarse_first(name: str) -> tuple[int, str]:
    return -_PLACES[name[0]], name


def blocks_of(fields: Mapping[str, bytes], *, late: bool) -> tuple[str, ...] | None:
    """The blocks of a layer, if they have all of its events, each once; None if they don't.

    Tiles only save reading them.

    Args:
        fields: of the layer.
        late: whether those before a batch boundary are wanted too.
    """
    return _blocks_among(_there(fields), late=late)


def span_of(name: str, widths_ms: Mapping[str, int] = _CALENDAR_MS) -> tuple[int, int]:
    """What a field is about, by its name: first and last event time, ms UTC.

    Args:
        name: of the field.
        widths_ms: by letter, how long the range is that it is about.
    """
    width_ms = widths_ms[name[0]]
    start_ms = int(name[1:]) * width_ms
    return start_ms, start_ms + width_ms - 1


def _there(fields: Mapping[str, bytes]) -> tuple[str, ...]:
    return tuple([name for name, content in fields.items() if content and name != LACKING])


# Many entities have fields of the same names.
@lru_cache(maxsize=4_096)
def _blocks_among(there: tuple[str, ...], *, late: bool) -> tuple[str, ...] | None:
    seen = _seen(there, CALENDAR)
    if any(name[0] == "l" for name in seen):
        return None
    if late and _hidden_blocks(there, seen):
        return None
    return tuple([name for name in seen if name[0] in _BLOCKS])


@lru_cache(maxsize=4_096)
def _seen(there: tuple[str, ...], widths: Widths) -> tuple[str, ...]:
    """Of the fields that have content those that no coarser one hides."""
    letters = {name[0] for name in there}
    if len(letters) == 1:
        return there
    widths_ms = _by_letter(widths)
    hiding = {one: [c for c in coarser if c in letters] for one, coarser in _COARSER.items()}
    names = frozenset(there)
    return tuple(
        [
            name
            for name in there
            if not hiding.get(name[0]) or not _is_hidden(name, hiding[name[0]], names, widths_ms)
        ]
    )


def _is_hidden(
    name: str, hiding: Sequence[str], names: frozenset[str], widths_ms: Mapping[str, int]
) -> bool:
    start_ms = int(name[1:]) * widths_ms[name[0]]
    return any(f"{letter}{start_ms // widths_ms[letter]}" in names for letter in hiding)
