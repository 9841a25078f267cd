"""What runs read and write, by name and place."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from headrace_batch.staging.places import place_of
from headrace_orchestration.runs.graph import Asset
from headrace_schemas.tables import features_table, relative_path, spine_table, training_table

if TYPE_CHECKING:
    from headrace_features.definitions.sources import EventSource
    from headrace_features.definitions.views import FeatureView
    from headrace_schemas.settings import Settings


def table_of(settings: Settings, source: EventSource) -> Asset:
    """The table of a source's events."""
    return _table(settings, source.table)


def history_of(settings: Settings, view: FeatureView) -> Asset:
    """The table of a view's history."""
    return _table(settings, features_table(view.name, view.version))


def spine_of(settings: Settings, name: str) -> Asset:
    """The table of the rows of a training set before they have features."""
    return _table(settings, spine_table(name))


def rows_of(settings: Settings, name: str) -> Asset:
    """The table of the rows of a training set."""
    return _table(settings, training_table(name))


def shards_of(settings: Settings, name: str) -> Asset:
    """What loaders read of a training set."""
    return Asset(f"{settings.project.name}.shards.{name}", _url(place_of(settings, name)))


def online_of(settings: Settings, view: FeatureView) -> Asset:
    """What readers get of a view."""
    # Not the store's address, which a cluster has several of.
    project = settings.project.name
    return Asset(f"{project}.online.{view.name}", f"headrace://{project}/online/{view.name}")


def _table(settings: Settings, table: str) -> Asset:
    url = _url(settings.warehouse.path.rstrip("/"))
    return Asset(f"{settings.project.name}.{table}", f"{url}/{relative_path(table)}")


def _url(place: str) -> str:
    return place if "://" in place else Path(place).as_uri()
