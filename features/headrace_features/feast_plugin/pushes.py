"""What is pushed to views of ours are events: they go to the topic of the views' source.

Feast takes what is pushed for rows of finished values, and looks for a view's features among the
columns before it asks a provider or a store. Its own methods are therefore replaced, on the class:
`feast serve` and every plain `feast.FeatureStore` take events too. Views that aren't ours reach
Feast's methods as before.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from feast import FeatureStore
from feast.data_source import PushMode
from feast.errors import FeastObjectNotFoundException

from headrace_features.feast_plugin.context import project_for, settings_for
from headrace_features.feast_plugin.objects import is_ours
from headrace_features.feast_plugin.pushed_events import events_of
from headrace_features.senders import Sender, load_sender
from headrace_schemas.errors import UnsupportedError

if TYPE_CHECKING:
    import pandas as pd

_push = FeatureStore.push
_push_async = FeatureStore.push_async
_write = FeatureStore.write_to_online_store
_write_async = FeatureStore.write_to_online_store_async
_write_offline = FeatureStore.write_to_offline_store

_SENDERS: WeakKeyDictionary[FeatureStore, Sender] = WeakKeyDictionary()


def install() -> None:
    """Let stores of Feast take events for views of ours; a second call changes nothing."""
    replaced: dict[str, Any] = {
        "push": push,
        "push_async": push_async,
        "write_to_online_store": write_to_online_store,
        "write_to_online_store_async": write_to_online_store_async,
        "write_to_offline_store": write_to_offline_store,
    }
    for name, method in replaced.items():
        setattr(FeatureStore, name, method)


def push(  # noqa: PLR0913, PLR0917 - Feast's signature
    self: FeatureStore,
    push_source_name: str,
    df: pd.DataFrame,
    allow_registry_cache: bool = True,  # noqa: FBT001, FBT002 - Feast's signature
    to: PushMode = PushMode.ONLINE,
    transform_on_write: bool = True,  # noqa: FBT001, FBT002 - Feast's signature
) -> None:
    """Send events to the stream, once for all views of their source.

    Plain views of the same push source get them as rows.
    """
    views = list(self._fvs_for_push_source_or_raise(push_source_name, allow_registry_cache))
    ours = [view for view in views if is_ours(view)]
    if not ours:
        _push(self, push_source_name, df, allow_registry_cache, to, transform_on_write)
        return
    if to is PushMode.OFFLINE:
        raise _not_offline(f"push source {push_source_name}")
    _send(self, ours[0].name, df)
    for view in views:
        if not is_ours(view):
            _write(self, view.name, df, None, allow_registry_cache, transform_on_write)
            if to is PushMode.ONLINE_AND_OFFLINE:
                _write_offline(self, view.name, df, allow_registry_cache)


async def push_async(
    self: FeatureStore,
    push_source_name: str,
    df: pd.DataFrame,
    allow_registry_cache: bool = True,  # noqa: FBT001, FBT002 - Feast's signature
    to: PushMode = PushMode.ONLINE,
    **options: Any,
) -> None:
    """Send events to the stream, once for all views of their source."""
    views = self._fvs_for_push_source_or_raise(push_source_name, allow_registry_cache)
    if any(map(is_ours, views)):
        await asyncio.to_thread(push, self, push_source_name, df, allow_registry_cache, to)
    else:
        await _push_async(self, push_source_name, df, allow_registry_cache, to, **options)


def write_to_online_store(  # noqa: PLR0913, PLR0917 - Feast's signature
    self: FeatureStore,
    feature_view_name: str,
    df: Any = None,
    inputs: Any = None,
    allow_registry_cache: bool = True,  # noqa: FBT001, FBT002 - Feast's signature
    transform_on_write: bool = True,  # noqa: FBT001, FBT002 - Feast's signature
) -> None:
    """Send events to the stream, as a push to the view's source does."""
    if _is_ours(self, feature_view_name, allow_registry_cache):
        _send(self, feature_view_name, self._validate_and_convert_input_data(df, inputs))
    else:
        _write(self, feature_view_name, df, inputs, allow_registry_cache, transform_on_write)


async def write_to_online_store_async(
    self: FeatureStore,
    feature_view_name: str,
    df: Any = None,
    inputs: Any = None,
    allow_registry_cache: bool = True,  # noqa: FBT001, FBT002 - Feast's signature
) -> None:
    """Send events to the stream, as a push to the view's source does."""
    if _is_ours(self, feature_view_name, allow_registry_cache):
        await asyncio.to_thread(write_to_online_store, self, feature_view_name, df, inputs)
    else:
        await _write_async(self, feature_view_name, df, inputs, allow_registry_cache)


def write_to_offline_store(
    self: FeatureStore,
    feature_view_name: str,
    df: pd.DataFrame,
    allow_registry_cache: bool = True,  # noqa: FBT001, FBT002 - Feast's signature
    reorder_columns: bool = True,  # noqa: FBT001, FBT002 - Feast's signature
) -> None:
    """Refuse rows for our tables: the lake gets events from their topic."""
    if _is_ours(self, feature_view_name, allow_registry_cache):
        raise _not_offline(f"feature view {feature_view_name}")
    _write_offline(self, feature_view_name, df, allow_registry_cache, reorder_columns)


def _is_ours(store: FeatureStore, view: str, allow_cache: bool) -> bool:  # noqa: FBT001 - passed on
    try:
        return is_ours(store.registry.get_any_feature_view(view, store.project, allow_cache))
    except FeastObjectNotFoundException:
        # Feast itself says so.
        return False


def _send(store: FeatureStore, view: str, frame: pd.DataFrame | None) -> None:
    project = project_for(store.config.repo_path)
    source = project.view(view).source
    events = [] if frame is None else events_of(source, frame, time.time_ns() // 1_000_000)
    if not events:
        return
    if store not in _SENDERS:
        # Two threads may make two; either will do.
        _SENDERS[store] = load_sender(settings_for(store.config.repo_path), project)
    _SENDERS[store].send(source, events)


def _not_offline(what: str) -> UnsupportedError:
    return UnsupportedError(
        f"{what} takes events for the stream, not for the lake alone",
        hint="push them online; the lake gets them from there: headrace ingest --from-kafka",
    )
