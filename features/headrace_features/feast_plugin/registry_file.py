"""Our definitions in the file of a Feast registry, read without Feast: its import takes seconds.

Of the registry's protocol buffers only a few fields are looked at; all others are passed over.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeVar

from headrace_features.feast_plugin.changes import (
    ASKED_TAG,
    MANAGED_TAG,
    MEANING_TAG,
    VERSION_TAG,
    Registered,
    ServiceChange,
    ViewChange,
    changes,
    service_changes,
)
from headrace_features.project import Project
from headrace_schemas.errors import ConfigurationError
from headrace_schemas.settings import Settings

# Field numbers in feast.core: of views, on-demand views and services in Registry, with that of the
# tags in their specs; of the spec in each; of what all specs have; and of an entry of a map.
_FEATURE_VIEWS, _FEATURE_VIEW_TAGS = 6, 5
_ON_DEMAND_VIEWS, _ON_DEMAND_VIEW_TAGS = 8, 7
_SERVICES, _SERVICE_TAGS = 7, 4
_SPEC = 1
_NAME, _PROJECT = 1, 2
_KEY, _VALUE = 1, 2

_T = TypeVar("_T")
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5


def registered_views(path: Path, project: str) -> dict[str, Registered]:
    """Our views of a project in a registry file, by name; none where there is no file.

    Raises:
        ConfigurationError: the file can't be read, or is no registry.
    """
    return _read(path, lambda data: dict(_views(data, project)))


def registered_services(path: Path, project: str) -> dict[str, Mapping[str, Any]]:
    """Our services of a project in a registry file, by name, as `asked_by` tells of them.

    Raises:
        ConfigurationError: the file can't be read, or is no registry.
    """
    return _read(path, lambda data: dict(_services(data, project)))


def _read(path: Path, found: Callable[[bytes], dict[str, _T]]) -> dict[str, _T]:
    """What there is in a registry file; nothing where there is no file."""
    if not path.exists():
        return {}
    try:
        return found(_contents(path))
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


def pending_changes(
    settings: Settings, project: Project, served: Mapping[str, int] = MappingProxyType({})
) -> tuple[ViewChange, ...]:
    """How the views of a project differ from those in its registry; see `changes`."""
    registered = registered_views(settings.feast.registry, settings.project.name)
    return changes(registered, project, served)


def pending_service_changes(settings: Settings, project: Project) -> tuple[ServiceChange, ...]:
    """How the services of a project differ from those in its registry."""
    registered = registered_services(settings.feast.registry, settings.project.name)
    return service_changes(registered, project)


def _views(data: bytes, project: str) -> Iterator[tuple[str, Registered]]:
    for kind in ((_FEATURE_VIEWS, _FEATURE_VIEW_TAGS), (_ON_DEMAND_VIEWS, _ON_DEMAND_VIEW_TAGS)):
        for name, tags in _tagged(data, project, *kind):
            if MEANING_TAG in tags:
                yield name, Registered(int(tags[VERSION_TAG]), json.loads(tags[MEANING_TAG]))


def _services(data: bytes, project: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for name, tags in _tagged(data, project, _SERVICES, _SERVICE_TAGS):
        if MANAGED_TAG in tags:
            # Older releases have told nothing more.
            yield name, json.loads(tags.get(ASKED_TAG, "{}"))


def _tagged(
    data: bytes, project: str, kind: int, number: int
) -> Iterator[tuple[str, Mapping[str, str]]]:
    """What a project has of a kind, by name with its tags."""
    for one in _fields(data, kind):
        for spec in _fields(one, _SPEC):
            if _text(spec, _PROJECT) == project:
                tags = {_text(tag, _KEY): _text(tag, _VALUE) for tag in _fields(spec, number)}
                yield _text(spec, _NAME), tags


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
