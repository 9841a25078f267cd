"""Which days a daily run has left to do."""

from __future__ import annotations

from datetime import date, timedelta
from typing import TYPE_CHECKING

from headrace_batch.backfill_rows import day_of
from headrace_features.online.served import view_key
from headrace_features.online.store import layers_of
from headrace_features.online.stores import open_store
from headrace_features.view_modes import ViewMode, view_modes

if TYPE_CHECKING:
    from headrace_features.project import Project
    from headrace_schemas.settings import Settings


def days_due(settings: Settings, project: Project, newest: date) -> list[date]:
    """The days that no batch layer has yet, in order; the newest one where nothing tells.

    A day whose events had not come in time is due until they have.

    Args:
        settings: where the online store is.
        project: its views.
        newest: the newest day that is over.

    Raises:
        RetryableError: the online store can't be reached.
    """
    modes = view_modes(settings, project)
    keys = [
        view_key(view) for view in project.views.values() if modes[view.name] is ViewMode.LAMBDA
    ]
    held = [one.batch for one in layers_of(open_store(settings), keys).values()]
    firsts = [day_of(one.boundary_ms) for one in held if one is not None]
    first = min([*firsts, newest])
    return [first + timedelta(number) for number in range((newest - first).days + 1)]
