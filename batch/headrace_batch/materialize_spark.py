"""A materialization on Spark: workers make tiles and fields, and write both themselves.

Rows never pass through the driver. It reads logs, commits the files that workers have written, and
moves the pointer of the layer.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import TYPE_CHECKING

from headrace_batch import layer_spark, tiles_spark
from headrace_batch.spark_errors import spark_errors
from headrace_batch.spark_session import spark_session
from headrace_features.online.sqlite_store import SqliteStateStore
from headrace_schemas.errors import ConfigurationError

if TYPE_CHECKING:
    from headrace_batch.event_files import EventFiles
    from headrace_batch.layer_writer import Filled, Layer
    from headrace_batch.tile_intake import Intake
    from headrace_batch.tile_table import TileTable
    from headrace_features.online.store import StateStore
    from headrace_schemas.settings import Settings


class OnSpark:
    """Makes tiles and fields on Spark; see `headrace_batch.materialize.Maker`."""

    def __init__(self, settings: Settings) -> None:
        """Take the settings of the session."""
        self._settings = settings

    def require_reach(self, store: StateStore) -> None:
        """See that workers reach the store, which may be a file of this machine.

        Raises:
            ConfigurationError: they don't.
        """
        if isinstance(store, SqliteStateStore):
            master = spark_session(self._settings).sparkContext.master or ""
            require_local(master, str(store.path))

    def rows_at_once(self) -> int:
        """All of them come into the tiles in one commit."""
        return sys.maxsize

    def take_in(
        self, tiles: TileTable, bronze: EventFiles, came: Intake, advance: Callable[[int], None]
    ) -> int:
        """Put the tiles of what has come into their table, in one commit."""
        if not came.steps:
            return 0
        session = spark_session(self._settings)
        with spark_errors(f"materialize {tiles.view.name}"):
            done = tiles_spark.take_in(session, tiles, bronze, came.steps)
        advance(done)
        return done

    def fill(self, layer: Layer, tiles: TileTable, advance: Callable[[int], None]) -> Filled:
        """Write all that differs from the generation before, or all that there is."""
        session = spark_session(self._settings)
        with spark_errors(f"materialize {layer.view.name}"):
            filled = layer_spark.fill(session, layer, tiles)
        advance(filled.events)
        return filled


def require_local(master: str, store: str) -> None:
    """See that workers are on this machine, where an online store is that is a file.

    Args:
        master: of the session.
        store: the path of the file.

    Raises:
        ConfigurationError: they are elsewhere.
    """
    if not master.startswith("local"):
        raise ConfigurationError(
            f"the online store {store} is a file of this machine, which the workers of {master} "
            "can't write to",
            hint="set [online] type to redis, or run it with --engine local",
        )
