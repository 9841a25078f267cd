"""Which version of each view a request is answered with."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from headrace_features.online.served import ServedView, ViewQuery
from headrace_features.online.versions import Versions, read_versions
from headrace_features.portable_project import project_from

if TYPE_CHECKING:
    from headrace_features.definitions.views import FeatureView
    from headrace_features.online.store import StateStore

#: So many choices of features are remembered: clients make them up.
_REMEMBERED = 1_000


class ServedVersions:
    """The definitions that the store says are to be read, at one moment.

    A request is answered from one namespace: the one that is served, or, where a view has not all
    that is asked for with its type, the last one that was served before and has it. A client that
    has not learned of a promotion yet so gets what it knows, and none gets a mixture.
    """

    def __init__(self, number: int = 0, versions: Versions | None = None) -> None:
        """Prepare the definitions of a document; without one everything is as it is declared.

        Args:
            number: of the document.
            versions: what it says.
        """
        self.number = number
        self._namespaces: list[Mapping[str, FeatureView]] = []
        if versions is not None:
            self._namespaces = list(_views(versions))
        self._served: dict[ServedView, dict[int, ServedView | None]] = {}

    @classmethod
    def read(cls, store: StateStore) -> ServedVersions:
        """What the store says now."""
        return cls(*read_versions(store))

    def of(self, queries: Sequence[ViewQuery]) -> Sequence[ViewQuery]:
        """The same queries of the views that are to be read for them."""
        for place in range(len(self._namespaces)):
            views = [self._in(place, query.view) for query in queries]
            if None not in views:
                return [
                    ViewQuery(view, query.queries)
                    for view, query in zip(views, queries, strict=True)
                    if view is not None
                ]
        return queries

    def _in(self, place: int, asked: ServedView) -> ServedView | None:
        """A view as a namespace has it; None if it lacks something there."""
        if len(self._served) > _REMEMBERED:
            self._served.clear()
        known = self._served.setdefault(asked, {})
        if place not in known:
            known[place] = self._found(place, asked)
        return known[place]

    def _found(self, place: int, asked: ServedView) -> ServedView | None:
        view = self._namespaces[place].get(asked.view.name)
        if view is None:
            # One that no version was made of beside another, or that another namespace has.
            known = any(asked.view.name in views for views in self._namespaces)
            return None if known else asked
        has = {feature.name: feature.type for feature in view.features}
        wanted = {feature.name: feature.type for feature in asked.asked.features}
        if any(has.get(name) is not kind for name, kind in wanted.items()):
            return None
        return ServedView(view, list(wanted))


def _views(versions: Versions) -> Iterator[Mapping[str, FeatureView]]:
    """The views of each namespace that is or was served, in the order in which they are tried."""
    for namespace in (versions.serving, *versions.former, *versions.taken_back):
        definitions = versions.namespaces.get(namespace)
        if definitions is not None:
            yield project_from(definitions).views
