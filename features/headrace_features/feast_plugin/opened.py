"""What the online store of a Feast configuration stands on, looked up once."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

from headrace_features.feast_plugin.changes import FINGERPRINT_TAG, VERSION_TAG
from headrace_features.feast_plugin.context import project_for, settings_for
from headrace_features.feast_plugin.native import NativeRequest, native_request
from headrace_features.feast_plugin.on_demand_reading import OnDemandViews
from headrace_features.feast_plugin.plain_store import PlainStore
from headrace_features.feast_plugin.registered import registered_definition
from headrace_features.online.served import ServedView
from headrace_features.online.serving import Server
from headrace_features.online.stores import open_store

if TYPE_CHECKING:
    from collections.abc import Callable

    from feast import FeatureView
    from feast.repo_config import RepoConfig

#: Different requests whose meaning is remembered, and choices of features: clients make them up.
_REQUESTS = 1_000


class Opened:
    """Stores and definitions of one configuration.

    Attributes:
        config: as Feast gives it to a store.
        server: reads our views.
        on_demand: our on-demand views.
    """

    def __init__(self, config: RepoConfig) -> None:
        """Find the settings and definitions; nothing is connected yet."""
        self.config = config
        self._settings = settings_for(config.repo_path)
        self._served: dict[tuple[str, str, str, frozenset[str] | None], ServedView] = {}
        self._requests: dict[int, tuple[Any, NativeRequest | None]] = {}
        self.server = Server(open_store(self._settings))
        self.on_demand = OnDemandViews(project_for(config.repo_path))

    def native(
        self,
        context: Any,
        feature_types: Callable[[Any], dict[str, Any]],
        *,
        full_feature_names: bool,
    ) -> NativeRequest | None:
        """A request as Feast has resolved it; None if it needs Feast for more than that."""
        known = self._requests.get(id(context))
        if known is not None and known[0] is context:
            return known[1]
        made = native_request(
            context, self.served, feature_types, full_feature_names=full_feature_names
        )
        if len(self._requests) >= _REQUESTS:
            self._requests.clear()
        self._requests[id(context)] = (context, made)
        return made

    @cached_property
    def plain(self) -> PlainStore:
        """Where plain views are."""
        return PlainStore(self.config, self.server.store)

    def served(self, table: FeatureView, names: frozenset[str] | None) -> ServedView:
        """Features of a registered view by the definition that was registered.

        Feast passes a set of names; the order of the declaration is easier to read.

        Raises:
            ConfigurationError: the definition can't be found, see `registered_definition`.
        """
        # The state of another version is kept apart, even where it means the same.
        key = (table.name, table.tags[VERSION_TAG], table.tags[FINGERPRINT_TAG], names)
        served = self._served.get(key)
        if served is None:
            view = registered_definition(table, lambda: project_for(self.config.repo_path))
            chosen = [name for name in view.feature_names if names is None or name in names]
            if len(self._served) >= _REQUESTS:
                self._served.clear()
            served = self._served[key] = ServedView(view, chosen)
        return served
