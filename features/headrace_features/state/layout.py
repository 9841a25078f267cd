"""How the batch layer of a view is divided into fields, and what has to be kept.

An entity's state is a set of named fields:

    base    the tile of everything before the horizon, where a window has no bound
    all     all events since the horizon, of an entity with few; it has no tiles then
    days    the tiles of all days since the horizon
    r<n>    the events of day n (days since 1970, UTC), if they are few
    h<n>    the tiles of the hours of day n, if its events are many
    x<n>    the events of hour n of such a day, as long as they are kept
    beside  events that became known too late to be in the tiles of their time, or in the base

Events give the exact edges of a window, tiles its inside. Names can be told from a window's edges
alone, so that a read asks for few of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from headrace_features.definitions.durations import DAY_MS, HOUR_MS, floor_to
from headrace_features.definitions.windows import (
    BEGINNING_MS,
    Session,
    Sliding,
    Tumbling,
    Unbounded,
    Window,
)
from headrace_schemas.errors import UnsupportedError

if TYPE_CHECKING:
    from headrace_features.definitions.views import FeatureView

#: How far before the boundary a value can still be asked for.
AS_OF_RETENTION_MS = 7 * DAY_MS
#: A day with at most this many events is one block of events, without tiles of its hours.
SPARSE_DAY = 128
#: An entity with at most this many events since the horizon is one block of events, without tiles.
SPARSE_ENTITY = 128

BASE, ALL, DAYS, BESIDE = "base", "all", "days", "beside"


@dataclass(frozen=True, slots=True)
class Layout:
    """What the batch layer of a view keeps for a boundary.

    Attributes:
        boundary_ms: the layer holds the events before it.
        earliest_ms: the earliest time at which values can be asked for.
        horizon_ms: events before it are only in the base; a multiple of a day.
        raw_from_ms: the events of days with many are kept from this time on.
        least_delay_ms: the least delay of the view's windows.
        unbounded: whether a window reaches back without a bound.
        known_ms: see `Generation`.
    """

    boundary_ms: int
    earliest_ms: int
    horizon_ms: int
    raw_from_ms: int
    least_delay_ms: int
    unbounded: bool
    known_ms: int | None = None

    @property
    def enough(self) -> tuple[str, ...]:
        """The fields that are all there is of an entity which has the first of them.

        That has its events since the horizon; where a window has no bound there are older ones.
        """
        return (ALL, BASE, BESIDE) if self.unbounded else (ALL,)

    def require_kept(self, time_ms: int) -> None:
        """See that the layer answers for a time.

        Raises:
            UnsupportedError: the time is before the earliest that it keeps.
        """
        if time_ms < self.earliest_ms:
            message = (
                f"values as of {_utc(time_ms)} are asked for, "
                f"the online store can answer from {_utc(self.earliest_ms)} on"
            )
            raise UnsupportedError(
                message, hint="headrace features history answers for any time in the past"
            )

    def foldable(self, available_ms: int, tile_end_ms: int) -> bool:
        """Whether an event is known whenever its tile lies whole inside a window.

        That is at the earliest when the window's end, moved by its delay, has passed the tile's.
        """
        whole_ms = tile_end_ms - 1 + self.least_delay_ms
        return available_ms <= max(whole_ms, self.earliest_ms)


def layout_of(view: FeatureView, boundary_ms: int, known_ms: int | None = None) -> Layout:
    """The layout of a view's batch layer for a boundary, and what was known by a time."""
    windows = {feature.window for feature in view.features}
    earliest_ms = boundary_ms - AS_OF_RETENTION_MS
    horizon_ms = floor_to(min(_first_needed(w, earliest_ms) for w in windows), DAY_MS)
    left_out = [feature.window for feature in view.features if feature.exclude_current]
    if any(isinstance(window, Session | Unbounded) for window in left_out):
        # The event that is left out may be any event: none can be folded away for good.
        horizon_ms = floor_to(BEGINNING_MS, DAY_MS)
    # Where events are left out, they may be anywhere in the window.
    edges = () if left_out else (_first_edge(window, earliest_ms) for window in windows)
    raw_from_ms = min(edges, default=horizon_ms)
    return Layout(
        boundary_ms=boundary_ms,
        earliest_ms=earliest_ms,
        horizon_ms=horizon_ms,
        raw_from_ms=floor_to(raw_from_ms, DAY_MS),
        least_delay_ms=min(window.delay_ms for window in windows),
        unbounded=any(isinstance(window, Session | Unbounded) for window in windows),
        known_ms=known_ms,
    )


def _first_needed(window: Window, earliest_ms: int) -> int:
    """The first time of which more than the base is needed, for values from `earliest_ms` on."""
    if isinstance(window, Session | Unbounded):
        return earliest_ms - window.delay_ms
    return window.span(earliest_ms)[0]


def _first_edge(window: Window, earliest_ms: int) -> int:
    """The first time at which a window can have an edge that is no multiple of an hour."""
    if isinstance(window, Sliding) and window.hop_ms % HOUR_MS:
        return window.span(earliest_ms)[0]
    if isinstance(window, Tumbling) and window.size_ms % HOUR_MS:
        return window.span(earliest_ms)[0]
    return earliest_ms - window.delay_ms


def _utc(time_ms: int) -> str:
    return datetime.fromtimestamp(time_ms / 1000, tz=UTC).isoformat(timespec="seconds")
