"""From the layers of an entity's state to values at a time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from headrace_features.definitions.durations import MINUTE_MS
from headrace_features.definitions.views import Feature, FeatureView
from headrace_features.definitions.windows import BEGINNING_MS, Session, Window
from headrace_features.partials import tiles
from headrace_features.partials.partial import Value
from headrace_features.partials.plan import PartialPlan, plan_of
from headrace_features.state.batch import BatchLayer, Span, names
from headrace_features.state.layout import Layout
from headrace_features.state.pieces import Piece, chains_of, combined
from headrace_features.state.stream import StreamLayer

_NO_FIELDS: Mapping[str, bytes] = {}


@dataclass(frozen=True, slots=True)
class AskedWindow:
    """Features of one window that leave the event being decided in, or all that leave it out.

    Attributes:
        window: their window.
        left_out: whether they leave the event being decided out.
        gap: for a session the place of its gap in the plan.
        partials: for each partial its place in the plan, and the features that it gives with
            their places among the values.
    """

    window: Window
    left_out: bool
    gap: int | None
    partials: tuple[tuple[int, tuple[tuple[int, Feature], ...]], ...]


class Found(NamedTuple):
    """The fields of an entity by layer."""

    batch: Mapping[str, bytes] = _NO_FIELDS
    stream: Mapping[str, bytes] = _NO_FIELDS


class Valued(NamedTuple):
    """The value of each feature, and by window the span that has to be known for them.

    A session looks as far back as a gap before its first event, or before its end if it is empty.
    """

    values: Sequence[Value]
    spans: Sequence[Span]


class Moment(NamedTuple):
    """A query time, and what each window looks at then: of the batch layer, and of the stream's.

    Attributes:
        time_ms: the query time.
        layout: of the batch layer; None if there is none.
        spans: by window.
        batch: the parts before the boundary; None is nothing.
        stream: the parts from the boundary on; None is nothing.
    """

    time_ms: int
    layout: Layout | None
    spans: Sequence[Span]
    batch: Sequence[Span | None]
    stream: Sequence[Span | None]

    def of_windows(self, places: Sequence[int]) -> Moment:
        """The same time, and what some of the windows look at."""
        return Moment(
            self.time_ms,
            self.layout,
            [self.spans[place] for place in places],
            [self.batch[place] for place in places],
            [self.stream[place] for place in places],
        )


@dataclass(frozen=True, slots=True)
class Asked:
    """Features of a view that are read together, prepared for reading them often.

    Attributes:
        plan: the partials of the view.
        features: what is asked for, in the order of the values.
    """

    plan: PartialPlan
    features: tuple[Feature, ...]
    windows: tuple[AskedWindow, ...]

    @staticmethod
    def of(view: FeatureView, names: Sequence[str]) -> Asked:
        """Some features of a view.

        Raises:
            ConfigurationError: the view has no feature of that name.
        """
        plan = plan_of(view)
        features = tuple(view.feature(name) for name in names)
        groups: dict[tuple[Window, bool], dict[int, list[tuple[int, Feature]]]] = {}
        for at, feature in enumerate(features):
            group = groups.setdefault((feature.window, feature.exclude_current), {})
            group.setdefault(plan.position[feature.name], []).append((at, feature))
        windows = tuple(
            AskedWindow(
                window,
                left_out,
                plan.gaps_ms.index(window.gap_ms) if isinstance(window, Session) else None,
                tuple((place, tuple(found)) for place, found in partials.items()),
            )
            for (window, left_out), partials in groups.items()
        )
        return Asked(plan, features, windows)

    def at(self, time_ms: int, layout: Layout | None = None) -> Moment:
        """What the windows look at, at a time.

        Args:
            time_ms: the query time.
            layout: of the batch layer, which keeps the time; None if there is none.
        """
        spans = list(self._spans(time_ms))
        if layout is None:
            return Moment(time_ms, None, spans, [None] * len(spans), spans)
        boundary_ms = layout.boundary_ms
        before, after = [], []
        for first_ms, last_ms in spans:
            inside = first_ms < boundary_ms
            before.append((first_ms, min(last_ms, boundary_ms - 1)) if inside else None)
            beyond = last_ms >= boundary_ms
            after.append((max(first_ms, boundary_ms), last_ms) if beyond else None)
        return Moment(time_ms, layout, spans, before, after)

    def fields(self, layout: Layout, minute: int) -> tuple[str, ...]:
        """The fields of the batch layer that are needed in a minute, where no event is left out.

        An edge of a window passes less than a minute in that time: it is in no hour but those in
        which it is at the minute's beginning and end.

        Args:
            layout: of the batch layer.
            minute: since 1970, UTC.

        Returns:
            Names, first those of the fields that may be enough, see `Layout`.
        """
        found: set[str] = set()
        for time_ms in (minute * MINUTE_MS, (minute + 1) * MINUTE_MS - 1):
            found |= names(layout, self._spans(time_ms))
        enough = layout.enough
        return (*enough, *sorted(found.difference(enough)))

    def _spans(self, time_ms: int) -> Iterator[Span]:
        for one in self.windows:
            window = one.window
            if isinstance(window, Session):
                # Its span begins with its chain.
                yield BEGINNING_MS, time_ms - window.delay_ms
            else:
                yield window.span(time_ms)

    @property
    def leaves_out(self) -> bool:
        """Whether a feature leaves the event being decided out, so that all fields are needed."""
        return any(one.left_out for one in self.windows)


_NOTHING = Found()


class EntityState:
    """The state of one entity, read for one query time; blocks are decoded once.

    What happened before the batch boundary is taken from the batch layer, if it was known when that
    was made, the rest from the stream's; without a batch layer all is. An entity without fields has
    the values of empty windows.
    """

    def __init__(self, asked: Asked, moment: Moment, found: Found = _NOTHING) -> None:
        """Take the layers.

        Args:
            asked: what is wanted.
            moment: when, and what the windows look at then.
            found: of the batch layer those fields at least that the windows need, of the stream
                layer all.
        """
        self._asked = asked
        self._moment = moment
        plan, (time_ms, layout, *_) = asked.plan, moment
        self._batch = (
            BatchLayer(plan, layout, found.batch, time_ms) if layout and found.batch else None
        )
        self._known_ms = None if layout is None else layout.known_ms
        looked_at = any(moment.stream) or (self._known_ms is not None and any(moment.batch))
        self._stream = (
            StreamLayer(plan, found.stream, time_ms) if found.stream and looked_at else None
        )

    def read(self, current: str | None = None) -> Valued:
        """The value of each feature, without the event that is being decided where it says so.

        Args:
            current: the dedup key of the event being decided, if any.
        """
        plan = self._asked.plan
        values: list[Value] = [None] * len(self._asked.features)
        dedup = None if current is None else current.encode()
        moment = self._moment
        spans = list(moment.spans)
        for number, (one, before, after) in enumerate(
            zip(self._asked.windows, moment.batch, moment.stream, strict=True)
        ):
            pieces = self._pieces(before, after, dedup if one.left_out else None)
            session = None
            if one.gap is not None:
                gap_ms, last_ms = plan.gaps_ms[one.gap], spans[number][1]
                chain = tiles.session(chains_of(plan, pieces, one.gap), gap_ms, last_ms)
                session = plan.empty if chain is None else chain.states
                began_ms = last_ms if chain is None else chain.start_ms
                spans[number] = began_ms - gap_ms, last_ms
            for place, features in one.partials:
                state = combined(plan, pieces, place) if session is None else session[place]
                finalize = plan.partials[place].finalize
                for at, feature in features:
                    values[at] = finalize(state, feature)
        return Valued(values, spans)

    def _pieces(
        self, before: Span | None, after: Span | None, left_out: bytes | None
    ) -> list[Piece]:
        found: list[Piece] = []
        if self._batch is not None and before is not None:
            if left_out is None:
                found = self._batch.pieces(*before)
            else:
                found = self._batch.pieces_without(left_out, *before)
        if self._stream is not None:
            if before is not None and self._known_ms is not None:
                found += self._stream.late_pieces(*before, self._known_ms, left_out)
            if after is not None:
                found += self._stream.pieces(*after, left_out)
        return found
