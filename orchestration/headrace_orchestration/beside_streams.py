"""Events that came into the lake beside a stream: what looks back at them online is incomplete."""

from __future__ import annotations

from typing import TYPE_CHECKING

from headrace_orchestration.output import say
from headrace_schemas.errors import HeadraceError

if TYPE_CHECKING:
    from collections.abc import Collection

    from headrace_features.project import Project
    from headrace_schemas.settings import Settings


def note_beside_streams(settings: Settings, project: Project, sources: Collection[str]) -> None:
    """Have online features incomplete that look back at events which the stream doesn't have."""
    from datetime import timedelta

    from headrace_batch.days import begins_ms
    from headrace_batch.lake_history import newest_other_day
    from headrace_batch.warehouse import Warehouse
    from headrace_features.online.layers import NEVER_MS
    from headrace_features.online.live import live_project
    from headrace_features.online.served import view_key
    from headrace_features.online.store import layers_of
    from headrace_features.online.stores import open_store

    store, warehouse = open_store(settings), Warehouse.of(settings)
    for view in live_project(settings, project).views.values():
        if view.source.name not in sources:
            continue
        key = view_key(view)
        try:
            batch, stream = layers_of(store, (key,))[key]
            if stream is None or stream.since_ms == NEVER_MS:
                continue
            day = newest_other_day(warehouse, view.source)
            if day is None:
                continue
            upto = day + timedelta(days=1)
            upto_ms = begins_ms(upto)
            if batch is not None and upto_ms <= batch.whole_ms:
                continue
            store.covers(key, stream.epoch, upto_ms)
        except HeadraceError as error:
            say(f"whether a stream lacks these events can't be told: {error}")
            return
        say(
            f"the stream of {view.name} has none of these events: online it is incomplete up to"
            f" {upto} until they are in the batch layer; to begin with them: headrace"
            " stream stop, then headrace ingest --from-kafka, headrace stream deploy --from lake"
        )
