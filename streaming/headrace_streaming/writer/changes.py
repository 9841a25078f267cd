"""From records of the topic of updates to changes of the store."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from headrace_features.definitions.fingerprint import fingerprint
from headrace_features.definitions.views import FeatureView
from headrace_features.online.served import entity_key, view_key
from headrace_features.online.store import Change
from headrace_features.state.updates import UPDATE_ENCODING, decode_update
from headrace_schemas.errors import ConfigurationError, UnsupportedError


class OvertakenError(ConfigurationError):
    """A writer with other definitions has begun, which this one would pass updates over of."""


class DeclaredViews:
    """The views of a project, found by what updates say of them.

    Attributes:
        keys: of these view versions.
    """

    def __init__(self, views: Iterable[FeatureView]) -> None:
        self._keys = {
            (view.name, view.version, fingerprint(view)): view_key(view) for view in views
        }
        self.keys = frozenset(self._keys.values())

    def change(self, value: bytes | None) -> Change | None:
        """What the value of a record changes; None if the project doesn't declare the view.

        Raises:
            UnsupportedError: it can't be read.
            ConfigurationError: a newer release has written it, whose updates we would lose.
        """
        try:
            update = decode_update(value or b"")
        except UnsupportedError as error:
            if _encoding(value) > UPDATE_ENCODING:
                raise ConfigurationError(error.message, hint="upgrade the online writer") from error
            raise
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


class _Encoded(msgspec.Struct, frozen=True):
    """What updates say in every encoding."""

    encoding: int = 0


def _encoding(value: bytes | None) -> int:
    """How a record is encoded; 0 if it doesn't tell."""
    try:
        return msgspec.msgpack.decode(value or b"", type=_Encoded).encoding
    except msgspec.DecodeError:
        return 0
