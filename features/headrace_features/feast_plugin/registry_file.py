"""The views in the file of a Feast registry, read without Feast, which takes seconds to import.

Of the registry's protocol buffers only a few fields are looked at; all others are passed over.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from headrace_features.feast_plugin.changes import (
    MEANING_TAG,
    VERSION_TAG,
    Registered,
    ViewChange,
    changes,
)
from headrace_features.project import Project
from headrace_schemas.errors import ConfigurationError
from headrace_schemas.settings import Settings

# Field numbers in feast.core: of views and on-demand views in Registry, with that of the tags in
# their specs; of the spec in either; of what both specs have; and of an entry of a map.
_FEATURE_VIEWS, _FEATURE_VIEW_TAGS = 6, 5
_ON_DEMAND_VIEWS, _ON_DEMAND_VIEW_TAGS = 8, 7
_SPEC = 1
_NAME, _PROJECT = 1, 2
_KEY, _VALUE = 1, 2

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5


def registered_views(path: Path, project: str) -> dict[str, Registered]:
    """Our views of a project in a registry file, by name; none where there is no file.

    Raises:
        ConfigurationError: the file can't be read, or is no registry.
    """
    if not path.exists():
        return {}
    try:
        return dict(_views(_contents(path), project))
    except (OSError, ValueError, KeyError) as error:
        message = f"the registry {path} can't be read: {error}"
        raise ConfigurationError(
            message, hint="restore it, or delete it and apply again"
        ) from error


def _contents(path: Path) -> bytes:
    data = path.read_bytes()
    if not data:
        raise ValueError("it is empty")
    return data


def pending_changes(settings: Settings, project: Project) -> tuple[ViewChange, ...]:
    """How a project differs from its registry."""
    return changes(registered_views(settings.feast.registry, settings.project.name), project)


def _views(data: bytes, project: str) -> Iterator[tuple[str, Registered]]:
    kinds = ((_FEATURE_VIEWS, _FEATURE_VIEW_TAGS), (_ON_DEMAND_VIEWS, _ON_DEMAND_VIEW_TAGS))
    specs = (
        (spec, tags)
        for views, tags in kinds
        for view in _fields(data, views)
        for spec in _fields(view, _SPEC)
    )
    for spec, number in specs:
        tags = {_text(tag, _KEY): _text(tag, _VALUE) for tag in _fields(spec, number)}
        if MEANING_TAG in tags and _text(spec, _PROJECT) == project:
            registered = Registered(int(tags[VERSION_TAG]), json.loads(tags[MEANING_TAG]))
            yield _text(spec, _NAME), registered


def _text(message: bytes, number: int) -> str:
    return next(_fields(message, number), b"").decode()


def _fields(message: bytes, number: int) -> Iterator[bytes]:
    """The contents of a field that holds messages or texts, once for each time it occurs.

    The encoding is that of https://protobuf.dev/programming-guides/encoding.
    """
    at = 0
    while at < len(message):
        tag, at = _varint(message, at)
        kind = tag & 7
        if kind == _VARINT:
            _, at = _varint(message, at)
            continue
        if kind == _BYTES:
            length, at = _varint(message, at)
        elif kind in (_FIXED32, _FIXED64):
            length = 4 if kind == _FIXED32 else 8
        else:
            raise ValueError(f"a field of the unknown kind {kind} at byte {at}")
        if at + length > len(message):
            raise ValueError(f"it ends in the middle of a field at byte {at}")
        if kind == _BYTES and tag >> 3 == number:
            yield message[at : at + length]
        at += length


def _varint(message: bytes, at: int) -> tuple[int, int]:
    """A number of seven bits a byte, the lowest first; and where it ends."""
    value = shift = 0
    while at < len(message):
        byte = message[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:  # noqa: PLR2004 - the bit that says that more follows
            return value, at
    raise ValueError(f"it ends in the middle of a number at byte {at}")
