"""Engines: who computes features over tables, found by name through entry points."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Protocol

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


class Engine(Protocol):
    """Computes features from the tables of a warehouse; made with the settings of a run."""

    def __init__(self, settings: Settings) -> None: ...

    def history(self, selections: Sequence[AnySelection], spine: pa.Table) -> pa.Table:
        """The rows of a spine, in order, with a column `view__feature` for each feature.

        Args:
            selections: the features wanted.
            spine: the join key of every view, `event_time` (int64 ms UTC, or a timestamp) and
                whatever else is to be kept. A column named like the dedup key of a view's source
                names the event that a row decides. For on-demand views also what a request brings.
        """

    def history_file(self, selections: Sequence[AnySelection], spine: str, out: str) -> int:
        """The same from a Parquet file to a Parquet file; returns the number of rows."""

    def backfill(self, view: FeatureView, first: date, last: date) -> BackfillReport:
        """Write the value of every feature at every event of some days, in place of what was there.

        Args:
            view: the definition.
            first, last: the days in UTC, both included.
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
