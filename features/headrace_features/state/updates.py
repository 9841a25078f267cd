"""Records of the topic of feature updates: one changed field of an entity's online state each."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import msgspec

from headrace_schemas.errors import UnsupportedError

#: Raised when records, or the content that they carry, have to be read differently.
UPDATE_ENCODING = 3


class Update(msgspec.Struct, frozen=True, kw_only=True):
    """The new content of a field.

    Attributes:
        view: name of the view.
        version: of the view.
        fingerprint: of what the view means.
        entity: the entity's key.
        epoch: number of the deployment that wrote it.
        sequence: number of the event, among those of the entity that its view absorbed.
        event_time: of that event, ms UTC.
        field: what changed, named as in `headrace_features.state.stream`.
        content: its new content; empty if the field is no more.
    """

    encoding: int
    view: str
    version: int
    fingerprint: str
    entity: str | int | float | bool | None
    epoch: int
    sequence: int
    event_time: int
    field: str
    content: bytes


_DECODER = msgspec.msgpack.Decoder(Update)


def decode_update(value: bytes) -> Update:
    """The update of a record's value.

    Raises:
        UnsupportedError: it is in another encoding.
    """
    try:
        update = _DECODER.decode(value)
    except msgspec.DecodeError as error:
        raise UnsupportedError(f"a feature update can't be read: {error}") from error
    if update.encoding != UPDATE_ENCODING:
        raise UnsupportedError(
            f"a feature update is encoded in version {update.encoding},"
            f" this release reads {UPDATE_ENCODING}"
        )
    return update


def newest_fields(updates: Iterable[Update]) -> Mapping[str, bytes]:
    """The fields of one entity's state of one view after its updates, in whatever order.

    A field keeps the content of its greatest (epoch, sequence): what a writer that is behind, or
    an older deployment, puts after it changes nothing.
    """
    fields: dict[str, Update] = {}
    for update in updates:
        before = fields.get(update.field)
        if before is None or (update.epoch, update.sequence) >= (before.epoch, before.sequence):
            fields[update.field] = update
    return {name: update.content for name, update in fields.items()}
