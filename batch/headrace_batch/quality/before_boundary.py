"""The gate before the boundary of a batch layer moves: days that fail don't come into it."""

from __future__ import annotations

import time
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING

from headrace_batch.quality.measures import day_in
from headrace_batch.quality.tables import gated_table
from headrace_batch.quality.verdicts import require_passing
from headrace_batch.warehouse import Warehouse
from headrace_features.online.served import view_key
from headrace_features.online.store import layers_of
from headrace_features.online.stores import open_store
from headrace_features.project import load_project

if TYPE_CHECKING:
    from headrace_features.definitions.gates import Gate
    from headrace_features.definitions.views import FeatureView
    from headrace_schemas.settings import Settings


def require_gates(settings: Settings, view: FeatureView, last: date) -> None:
    """Have the days pass that are to come into the batch layer of a view, up to `last`.

    Held to their gates are the days of the source's events since the boundary that there is, or
    the last one where there is none yet; and those of the view's features that were computed.

    Raises:
        GateError: a day doesn't pass: nothing is written.
        ConfigurationError: a table or a baseline is missing or damaged.
    """
    declared = load_project(settings).gates
    gates = [declared[name] for name in (view.source.name, view.name) if name in declared]
    if not gates:
        return
    key = view_key(view)
    batch, _ = layers_of(open_store(settings), (key,))[key]
    first = last
    if batch is not None:
        held = datetime.fromtimestamp(batch.boundary_ms / 1000, UTC).date()
        first = min(held, last)
    days = [first + timedelta(days=place) for place in range((last - first).days + 1)]
    for gate in gates:
        asked = days if gate.of == view.source else _computed(settings, gate, days)
        require_passing(settings, gate, asked, time.time_ns() // 1_000_000)


def _computed(settings: Settings, gate: Gate, days: list[date]) -> list[date]:
    """The days of which a view has features in its table."""
    table = Warehouse.of(settings).find(gated_table(gate))
    return [] if table is None else [day for day in days if day_in(table, day).rows]
