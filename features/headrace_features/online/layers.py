"""The layers of a view version: what each holds, and whether they have all of a span."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple

from headrace_features.definitions.windows import BEGINNING_MS
from headrace_features.state.lacking import Lacking

#: Since when a stream layer is complete that has never missed anything.
ALWAYS_MS = BEGINNING_MS
#: Since when one is of which that isn't known.
NEVER_MS = -BEGINNING_MS


@dataclass(frozen=True, slots=True)
class Generation:
    """One published or growing batch layer of a view version.

    Attributes:
        id: rises with every one that is begun.
        view: key of the view version.
        boundary_ms: the layer holds the events before it, ms UTC.
        written_ms: it has what there was to read then, ms UTC; 0 while it grows.
        whole_ms: until when it has all events, ms UTC: a boundary may be ahead of that.
        known_ms: of events that can become known later than they were it has those that were known
            by then, ms UTC, and leaves the others to the stream; None where it leaves none out.
        tiles: it has what the table of the view's tiles had until that number of a generation.
        base: the generation that it goes on from, of which it has what it has not itself; its own
            id where it was built anew.
        pending: whether the fields of its own are yet to be put with those of its base.
    """

    id: int
    view: str
    boundary_ms: int
    written_ms: int = 0
    whole_ms: int = 0
    known_ms: int | None = None
    tiles: int = 0
    base: int = 0
    pending: bool = False

    @property
    def is_anew(self) -> bool:
        """Whether it has all fields itself."""
        return self.base == self.id


class Had(NamedTuple):
    """What a batch layer was made of, see `Generation`."""

    written_ms: int
    whole_ms: int
    known_ms: int | None = None
    tiles: int = 0

    @classmethod
    def until(cls, generation: Generation, written_ms: int) -> Had:
        """All events until the boundary, unless that was ahead."""
        return cls(written_ms, min(written_ms, generation.boundary_ms))


class StreamSpan(NamedTuple):
    """What the stream layer of a view version holds.

    Attributes:
        epoch: number of the newest deployment that has written it.
        since_ms: it has all events from this event time on, ms UTC.
        event_time_ms: the greatest event time in it, ms UTC.
        written_ms: when something was last written, ms UTC.
        current_ms: it has all events that were sent by then, ms UTC; 0 until that is known of the
            deployment.
    """

    epoch: int
    since_ms: int
    event_time_ms: int
    written_ms: int
    current_ms: int


class Layers(NamedTuple):
    """The layers of a view version that readers see; None for one that isn't there."""

    batch: Generation | None
    stream: StreamSpan | None

    @property
    def boundary_ms(self) -> int:
        """What was before it is asked of the batch layer, the rest of the stream layer, ms UTC."""
        if self.batch is None:
            return ALWAYS_MS
        return self.batch.boundary_ms if self.stream is None else self.batch.whole_ms

    def with_batch(self, generation: Generation, had: Had) -> Layers:
        """These layers once readers see another batch layer."""
        return Layers(replace(generation, **had._asdict()), self.stream)

    def differs(self, known: Layers) -> bool:
        """Whether other fields are to be read than under layers that were known."""
        return self.batch != known.batch or self.boundary_ms != known.boundary_ms

    def incomplete(
        self, first_ms: int, last_ms: int, lag_ms: int, known_ms: int | None = None
    ) -> bool:
        """Whether events of a span may be in neither layer.

        Args:
            first_ms: its beginning, ms UTC.
            last_ms: its end, which belongs to it.
            lag_ms: how far behind the stream layer may be.
            known_ms: of events that can become known later than they were those count that are
                known by then, ms UTC; None where each is known when it is.
        """
        from_ms = max(first_ms, self.boundary_ms)
        if self.batch is not None:
            # What happened before a boundary that was ahead, and no stream tells of.
            unread_ms = max(first_ms, self.batch.whole_ms)
            if unread_ms < min(last_ms + 1, self.boundary_ms):
                return True
        wanted_ms = last_ms if known_ms is None else known_ms
        if known_ms is not None and self.batch is not None and first_ms < from_ms:
            # What has become known since of the time before the boundary.
            if self.batch.known_ms is None:
                # That is nowhere.
                if known_ms > self.batch.written_ms:
                    return True
            elif known_ms > self.batch.known_ms and self._lacks(
                self.batch.known_ms, wanted_ms, lag_ms
            ):
                return True
        return from_ms <= last_ms and self._lacks(from_ms, wanted_ms, lag_ms)

    def lacks(self, lacking: Lacking, first_ms: int, last_ms: int) -> bool:
        """Whether a span may have events of an entity that the stream layer lacks.

        Args:
            lacking: what that may lack.
            first_ms, last_ms: the span, see `incomplete`.
        """
        known_ms = None if self.batch is None else self.batch.known_ms
        if first_ms > lacking.event_time_ms or lacking.is_in_batch(self.boundary_ms, known_ms):
            return False
        return known_ms is not None or last_ms >= self.boundary_ms

    def _lacks(self, since_ms: int, wanted_ms: int, lag_ms: int) -> bool:
        """Whether the stream layer may lack something between two times."""
        stream = self.stream
        return (
            stream is None or since_ms < stream.since_ms or wanted_ms > stream.current_ms + lag_ms
        )


NO_LAYERS = Layers(None, None)


def least_known(*known_ms: int | None) -> int | None:
    """The earliest time up to which one of some generations has what was known; None for none."""
    return min((one for one in known_ms if one is not None), default=None)


class LayerSize(NamedTuple):
    """What a layer of a view takes.

    Attributes:
        view: key of the view version.
        layer: `batch` or `stream`.
        entities: how many have fields in it; of one with several generations, more.
        fields: how many they are.
        size: in bytes: of keys, names and contents in SQLite, as Redis tells it in Redis.
    """

    view: str
    layer: str
    entities: int
    fields: int
    size: int
