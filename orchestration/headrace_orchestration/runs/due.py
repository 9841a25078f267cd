"""Which days a daily run has left to do."""

from __future__ import annotations

from datetime import date, timedelta
from typing import TYPE_CHECKING

from headrace_batch.backfill_rows import day_of
from headrace_batch.history_increment import held_by
from headrace_batch.warehouse import Warehouse
from headrace_features.online.served import view_key
from headrace_features.online.store import layers_of
from headrace_features.online.stores import open_store
from headrace_features.view_modes import ViewMode, view_modes

if TYPE_CHECKING:
    from headrace_features.project import Project
    from headrace_schemas.settings import Settings


def days_due(settings: Settings, project: Project, newest: date) -> list[date]:
    """The days that no batch layer has yet, in order; the newest one where nothing tells.

    Of a view without batch layers it is those that its history doesn't have. A day whose events had
    not come in time is due until they have.

    Args:
        settings: where online store and lake are.
        project: its views.
        newest: the newest day that is over.

    Raises:
        RetryableError: the online store or the lake can't be reached.
        ConfigurationError: a table is damaged.
    """
    modes, warehouse = view_modes(settings, project), Warehouse.of(settings)
    views = project.views.values()
    keys = [view_key(view) for view in views if modes[view.name] is ViewMode.LAMBDA]
    layers = [one.batch for one in layers_of(open_store(settings), keys).values()]
    histories = [held_by(warehouse, view) for view in views if modes[view.name] is ViewMode.KAPPA]
    firsts = [day_of(one.boundary_ms) for one in layers if one is not None]
    firsts += [one.until + timedelta(1) for one in histories if one is not None]
    first = min([*firsts, newest])
    return [first + timedelta(number) for number in range((newest - first).days + 1)]
