"""From the layers of an entity's state to values at a time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from headrace_features.definitions.durations import MINUTE_MS
from headrace_features.definitions.views import Feature, FeatureView
from headrace_features.definitions.windows import BEGINNING_MS, Session, Window
from headrace_features.partials import tiles
from headrace_features.partials.kinds import Value
from headrace_features.partials.plan import PartialPlan, plan_of
from headrace_features.state.batch import BatchLayer, Span, names
from headrace_features.state.layout import ALL, Layout
from headrace_features.state.pieces import Piece, chains_of, combined
from headrace_features.state.stream import StreamLayer
from headrace_schemas.errors import UnsupportedError

_NO_FIELDS: Mapping[str, bytes] = {}


@dataclass(frozen=True, slots=True)
class _Window:
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


@dataclass(frozen=True, slots=True)
class Asked:
    """Features of a view that are read together, prepared for reading them often.

    Attributes:
        plan: the partials of the view.
        features: what is asked for, in the order of the values.
    """

    plan: PartialPlan
    features: tuple[Feature, ...]
    windows: tuple[_Window, ...]

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
            _Window(
                window,
                left_out,
                plan.gaps_ms.index(window.gap_ms) if isinstance(window, Session) else None,
                tuple((place, tuple(found)) for place, found in partials.items()),
            )
            for (window, left_out), partials in groups.items()
        )
        return Asked(plan, features, windows)

    def spans(self, time_ms: int) -> list[Span]:
        """What the windows look at, at a time."""
        return [span_of(one.window, time_ms) for one in self.windows]

    def fields(self, layout: Layout, minute: int) -> tuple[str, ...]:
        """The fields of the batch layer that are needed in a minute, where no event is left out.

        An edge of a window passes less than a minute in that time: it is in no hour but those in
        which it is at the minute's beginning and end.

        Args:
            layout: of the batch layer.
            minute: since 1970, UTC.

        Returns:
            Names, first that of the field with which no others are needed.
        """
        found: set[str] = set()
        for time_ms in (minute * MINUTE_MS, (minute + 1) * MINUTE_MS - 1):
            found |= names(layout, self.spans(time_ms))
        return (ALL, *sorted(found - {ALL}))

    @property
    def leaves_out(self) -> bool:
        """Whether a feature leaves the event being decided out, so that all fields are needed."""
        return any(one.left_out for one in self.windows)


class EntityState:
    """The state of one entity, read for one query time; blocks are decoded once.

    What happened before the batch boundary is taken from the batch layer, the rest from the
    stream's; without a batch layer all is. An entity without fields has the values of empty
    windows.
    """

    def __init__(
        self,
        asked: Asked,
        time_ms: int,
        layout: Layout | None = None,
        batch: Mapping[str, bytes] = _NO_FIELDS,
        stream: Mapping[str, bytes] = _NO_FIELDS,
    ) -> None:
        """Check that the layers can answer for the time.

        Args:
            asked: what is wanted.
            time_ms: the query time.
            layout: of the batch layer; None if there is none.
            batch: fields of the batch layer, those at least that the windows need.
            stream: all fields of the stream layer.

        Raises:
            UnsupportedError: the time is before the earliest that the batch layer keeps.
        """
        if layout is not None:
            require_kept(layout, time_ms)
        self._asked = asked
        self._time_ms = time_ms
        self._boundary_ms = BEGINNING_MS if layout is None else layout.boundary_ms
        plan = asked.plan
        self._batch = BatchLayer(plan, layout, batch, time_ms) if layout and batch else None
        self._stream = StreamLayer(plan, stream, time_ms) if stream else None

    def values(self, spans: Sequence[Span], current: str | None = None) -> list[Value]:
        """The value of each feature, without the event that is being decided where it says so.

        Args:
            spans: what the windows look at, at the query time.
            current: the dedup key of the event being decided, if any.
        """
        plan = self._asked.plan
        values: list[Value] = [None] * len(self._asked.features)
        dedup = None if current is None else current.encode()
        for one, span in zip(self._asked.windows, spans, strict=True):
            pieces = self._pieces(span, dedup if one.left_out else None)
            session = None
            if one.gap is not None:
                chains = chains_of(plan, pieces, one.gap)
                session = tiles.session(plan, chains, plan.gaps_ms[one.gap], span[1])
            for place, features in one.partials:
                state = combined(plan, pieces, place) if session is None else session[place]
                finalize = plan.partials[place].finalize
                for at, feature in features:
                    values[at] = finalize(state, feature)
        return values

    def _pieces(self, span: Span, left_out: bytes | None) -> list[Piece]:
        found: list[Piece] = []
        first_ms, last_ms = span
        if self._batch is not None and first_ms < self._boundary_ms:
            end_ms = min(last_ms, self._boundary_ms - 1)
            found.extend(self._batch.pieces(first_ms, end_ms, left_out))
        if self._stream is not None and last_ms >= self._boundary_ms:
            start_ms = max(first_ms, self._boundary_ms)
            found.extend(self._stream.pieces(start_ms, last_ms, left_out))
        return found


def span_of(window: Window, time_ms: int) -> Span:
    """First and last event time that a window looks at; a session's begins with its chain."""
    if isinstance(window, Session):
        return BEGINNING_MS, time_ms - window.delay_ms
    return window.span(time_ms)


def require_kept(layout: Layout, time_ms: int) -> None:
    """See that a batch layer answers for a time.

    Raises:
        UnsupportedError: the time is before the earliest that it keeps.
    """
    if time_ms < layout.earliest_ms:
        message = (
            f"values as of {_utc(time_ms)} are asked for, "
            f"the online store can answer from {_utc(layout.earliest_ms)} on"
        )
        raise UnsupportedError(
            message, hint="headrace features history answers for any time in the past"
        )


def _utc(time_ms: int) -> str:
    return datetime.fromtimestamp(time_ms / 1000, tz=UTC).isoformat(timespec="seconds")
