"""Engines: who computes features over tables, found by name through entry points."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, NamedTuple, Protocol

from headrace_features.definitions.durations import HOUR_MS
from headrace_schemas.errors import ConfigurationError

if TYPE_CHECKING:
    import pyarrow as pa

    from headrace_features.definitions.on_demand import AnySelection
    from headrace_features.definitions.views import FeatureView
    from headrace_schemas.settings import Settings

GROUP = "headrace.engines"


@dataclass(frozen=True, slots=True)
class BackfillReport:
    """What a backfill did: rows written, and where."""

    view: str
    table: str
    first: date
    last: date
    rows: int
    seconds: float


@dataclass(frozen=True, slots=True)
class MaterializeReport:
    """What a materialization wrote.

    Attributes:
        boundary: the layer holds the events before it.
        anew: whether it was built of all tiles; else of what came since the one before it.
        entities: of how many something was written.
        events: how many came into the layer.
        tiled: how many came from the lake into the tiles.
        fields: how many were written.
    """

    view: str
    version: int
    boundary: datetime
    anew: bool
    entities: int
    events: int
    tiled: int
    fields: int
    seconds: float


class Missed(NamedTuple):
    """Events of an entity that values lacked.

    Attributes:
        firsts: the first one of each hour with some: when it was, and when it could be known, ms
            UTC; in the order of time.
    """

    firsts: tuple[tuple[int, int], ...]

    @classmethod
    def of(cls, events: Iterable[tuple[int, int]]) -> Missed:
        """What is told of events, by when they were and when they could be known."""
        by_hour: dict[int, tuple[int, int]] = {}
        for event in events:
            hour = event[0] // HOUR_MS
            by_hour[hour] = min(by_hour.get(hour, event), event)
        return cls(tuple(sorted(by_hour.values())))


def nothing_missed(since_ms: int) -> Mapping[bytes, Missed]:
    """Of a stream that lacks nothing."""
    del since_ms
    return {}


def unwatched(done: int) -> None:
    """Progress that nobody looks at."""
    del done


def nothing_asked(version: int) -> None:
    """What is written whatever it is made of."""
    del version


class Engine(Protocol):
    """Computes features from the tables of a warehouse; made with the settings of a run."""

    def __init__(self, settings: Settings) -> None: ...

    def history(
        self,
        selections: Sequence[AnySelection],
        spine: pa.Table,
        versions: Mapping[str, int] | None = None,
    ) -> pa.Table:
        """The rows of a spine, in order, with a column `view__feature` for each feature.

        Args:
            selections: the features wanted.
            spine: the join key of every view, `event_time` (int64 ms UTC, or a timestamp) and
                whatever else is to be kept. A column named like the dedup key of a view's source
                names the event that a row decides. For on-demand views also what a request brings.
            versions: of the tables of events that are read as they were; others as they are.
        """

    def history_file(
        self,
        selections: Sequence[AnySelection],
        spine: str,
        out: str,
        versions: Mapping[str, int] | None = None,
    ) -> int:
        """The same from a Parquet file to a Parquet file; returns the number of rows."""

    def backfill(
        self,
        view: FeatureView,
        first: date,
        last: date,
        asked: Callable[[int], None] = nothing_asked,
    ) -> BackfillReport:
        """Write the value of every feature at every event of some days, in place of what was there.

        Args:
            view: the definition.
            first, last: the days in UTC, both included.
            asked: whether that may be; called before anything is written, with the version of the
                table of events of which it is made. What it raises ends it.
        """

    def materialize(
        self,
        view: FeatureView,
        last: date,
        advance: Callable[[int], None],
        *,
        streamed: bool = False,
        missed: Callable[[int], Mapping[bytes, Missed]] = nothing_missed,
    ) -> MaterializeReport:
        """Bring the batch layer up to the end of a day; readers see it when it is whole.

        A layer that is further already stays where it is, and gets what has come since.

        Args:
            view: the definition.
            last: the last day to hold, UTC.
            advance: takes the number of events done so far.
            streamed: whether events of the newest day there is may be on their way in a stream.
            missed: by entity what the stream's state lacks since a time, ms UTC.

        Raises:
            RetryableError: another process materializes the view, or has taken over.
        """


def load_engine(name: str, settings: Settings) -> Engine:
    """The engine registered under a name.

    Raises:
        ConfigurationError: there is none of that name, or what it needs is not installed.
    """
    known = {entry.name: entry for entry in entry_points(group=GROUP)}
    if name not in known:
        raise ConfigurationError.unknown("engine", name, known)
    try:
        engine: type[Engine] = known[name].load()
    except ModuleNotFoundError as error:
        message = f"the engine {name!r} needs the package {error.name!r}, which is not installed"
        raise ConfigurationError(message, hint="install headrace with the extra batch") from error
    return engine(settings)
