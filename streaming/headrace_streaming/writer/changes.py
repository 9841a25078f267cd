"""From records of the topic of updates to changes of the store."""

from __future__ import annotations

from collections.abc import Iterable

from headrace_features.definitions.fingerprint import fingerprint
from headrace_features.definitions.views import FeatureView
from headrace_features.online.serving import entity_key, view_key
from headrace_features.online.store import Change
from headrace_features.state.updates import decode_update


class DeclaredViews:
    """The views of a project, found by what updates say of them."""

    def __init__(self, views: Iterable[FeatureView]) -> None:
        self._keys = {
            (view.name, view.version, fingerprint(view)): view_key(view) for view in views
        }

    def change(self, value: bytes | None) -> Change | None:
        """What the value of a record changes; None if the project doesn't declare the view.

        Raises:
            UnsupportedError: it can't be read.
        """
        update = decode_update(value or b"")
        key = self._keys.get((update.view, update.version, update.fingerprint))
        if key is None:
            return None
        return Change(
            key,
            entity_key(str(update.entity)),
            update.field,
            update.epoch,
            update.sequence,
            update.event_time,
            update.content,
        )
