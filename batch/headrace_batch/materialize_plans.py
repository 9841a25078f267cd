"""Up to which day the views of a project are to be materialized."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, NamedTuple

from headrace_batch.days import days_with_events, last_whole_day
from headrace_features.online.served import view_key
from headrace_features.online.store import layers_of
from headrace_features.online.stores import open_store
from headrace_features.view_modes import require_batch
from headrace_schemas.errors import ConfigurationError

if TYPE_CHECKING:
    from headrace_features.definitions.views import FeatureView
    from headrace_features.project import Project
    from headrace_schemas.settings import Settings


class Plan(NamedTuple):
    """Up to the end of which day a view is written, if any; and whether it is streamed."""

    view: FeatureView
    last: date | None
    streamed: bool


def plans_of(
    settings: Settings, project: Project, names: Sequence[str], day: date | None
) -> list[Plan]:
    """What to write of each view.

    Args:
        settings: where lake and store are.
        project: of which the views that are served are brought up to date.
        names: of the views; none is all that have a batch layer, of which those are left out
            whose source has no whole day, but not all of them.
        day: the last one; None is the newest that the lake has whole.

    Raises:
        ConfigurationError: one that is wanted has no batch layer, or its source no whole day.
    """
    views = [project.view(name) for name in require_batch(settings, project, list(names))]
    plans = plans_for(settings, views, day)
    if names or not any(plan.last for plan in plans):
        _require_whole(settings, plans)
    return plans


def plans_for(settings: Settings, views: Sequence[FeatureView], day: date | None) -> list[Plan]:
    """What to write of each view: up to a day, or else the last that its source has whole.

    Raises:
        ConfigurationError: a source has no events.
    """
    keys = [view_key(view) for view in views]
    layers = layers_of(open_store(settings), keys)
    plans = []
    for view, key in zip(views, keys, strict=True):
        batch, stream = layers[key]
        streamed = stream is not None
        last = day or last_whole_day(settings, view.source, streamed=streamed)
        if day is None and batch is not None:
            # What was given a later day by hand is brought up to date.
            held = datetime.fromtimestamp(batch.boundary_ms // 1000 - 1, UTC).date()
            last = held if last is None else max(last, held)
        if day is None and last is not None:
            # However far ahead the time of an event is: by mistake, as it seems.
            last = min(last, datetime.now(UTC).date())
        plans.append(Plan(view, last, streamed))
    return plans


def _require_whole(settings: Settings, plans: Sequence[Plan]) -> None:
    """See that each source has a whole day.

    Raises:
        ConfigurationError: one has none.
    """
    for plan in plans:
        if plan.last is None:
            source = plan.view.source
            _, newest = days_with_events(settings, source)
            raise ConfigurationError(
                f"source {source.name} has no whole day of events yet",
                hint=f"what there is of its newest day so far: --date {newest}",
            )
