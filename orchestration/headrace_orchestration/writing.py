"""The online writer of `headrace up`, which goes by the settings and views that it began with."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from headrace_orchestration.output import status

if TYPE_CHECKING:
    from headrace_features.project import Project
    from headrace_schemas.settings import Settings


def renew_writer(settings: Settings, project: Project) -> None:
    """Start the writer anew if it runs, and writes other views or into another store."""
    from headrace_features.embedded import Service
    from headrace_streaming.services import control

    if _writes_otherwise(settings, project):
        with status("start the online writer anew, for views and store as they are now"):
            control.halt(settings.home, Service.WRITER)
            control.up(settings.home, os.environ, wanted=(Service.WRITER,))


def _writes_otherwise(settings: Settings, project: Project) -> bool:
    from headrace_features.embedded import Service, read_book
    from headrace_features.online.live import live_project
    from headrace_features.online.served import view_key
    from headrace_features.online.stores import store_place
    from headrace_features.processes import is_alive
    from headrace_streaming.writer.status import read_status

    entry = read_book(settings.home).services.get(Service.WRITER)
    if entry is None or entry.process is None or not is_alive(entry.process):
        return False
    told = read_status(settings.home)
    views = {view_key(view) for view in live_project(settings, project).views.values()}
    # One that was just started may have said nothing yet.
    return told is None or {*told.views} != views or told.store != store_place(settings)
