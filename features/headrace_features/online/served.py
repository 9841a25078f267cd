"""Views that are read: some features of one, as it is kept in the online store."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

from headrace_features.definitions.durations import MINUTE_MS
from headrace_features.definitions.fingerprint import fingerprint
from headrace_features.state.layout import Layout, layout_of
from headrace_features.state.read import Asked
from headrace_features.state.together import Together

if TYPE_CHECKING:
    from headrace_features.definitions.views import FeatureView
    from headrace_features.online.layers import Layers


class Query(NamedTuple):
    """One entity at a time, with the dedup key of the event being decided, if any."""

    key: str | int
    time_ms: int
    current: str | None = None


class ServedView:
    """Some features of a view, prepared for being read often."""

    def __init__(self, view: FeatureView, names: Sequence[str]) -> None:
        """Choose features of a view.

        Raises:
            ConfigurationError: the view has no feature of that name.
        """
        self.view = view
        self.key = view_key(view)
        self.asked = Asked.of(view, names)
        self.together = Together(self.asked)
        #: Whether events can become known later than they were.
        self.is_late = view.source.available_at is not None
        self._layout: tuple[tuple[int, int | None, int], Layout] | None = None
        self._fields: tuple[tuple[Layout, int], tuple[str, ...]] | None = None

    def layout(self, layers: Layers) -> Layout | None:
        """How the batch layer is divided; None if there is none."""
        if layers.batch is None:
            return None
        made = layers.batch.boundary_ms, layers.batch.known_ms, layers.boundary_ms
        held = self._layout
        if held is None or held[0] != made:
            # Another thread may do the same; either will do.
            held = self._layout = (
                made,
                replace(layout_of(self.view, *made[:2]), boundary_ms=made[2]),
            )
        return held[1]

    def fields(self, layout: Layout, time_ms: int) -> tuple[str, ...]:
        """The fields of the batch layer for a time, where no event is left out.

        They are the same for a minute, in which others ask for the present as well.
        """
        key = (layout, time_ms // MINUTE_MS)
        remembered = self._fields
        if remembered is None or remembered[0] != key:
            remembered = self._fields = key, self.asked.fields(layout, key[1])
        return remembered[1]


class ViewQuery(NamedTuple):
    """What is asked of one view: a query for each row."""

    view: ServedView
    queries: Sequence[Query]


def view_key(view: FeatureView) -> str:
    """The name under which a view's state is kept: it changes with meaning and namespace."""
    key = key_of(view.name, view.version, fingerprint(view))
    return f"{key}@{view.namespace}" if view.namespace else key


def key_of(name: str, version: int, meaning: str) -> str:
    """The same of a view in the first namespace.

    Args:
        name: of the view.
        version: of it.
        meaning: its fingerprint.
    """
    return f"{name}:v{version}:{meaning[:16]}"


def entity_key(key: str | int) -> bytes:
    """The bytes that name an entity in the store."""
    return str(key).encode()
