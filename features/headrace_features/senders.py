"""Senders: who brings events to the stream, found by name through entry points."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from headrace_schemas.errors import ConfigurationError

if TYPE_CHECKING:
    from headrace_features.definitions.sources import EventSource
    from headrace_features.project import Project
    from headrace_schemas.settings import Settings

GROUP = "headrace.senders"
_DEFAULT = "kafka"


class Ready(NamedTuple):
    """An event that keeps to its contract, and its bytes."""

    event: Any
    value: bytes


class Sender(Protocol):
    """Sends events; made with settings and project, safe for threads and for processes that fork.

    Nothing is connected before the first event.
    """

    def __init__(self, settings: Settings, project: Project) -> None: ...

    def send(self, source: EventSource, events: Sequence[Ready]) -> None:
        """Send events to the topic of their source; all of them are there when this returns.

        Raises:
            BadRecordError: an event is larger than the broker takes; none was sent.
            RetryableError: not all of them got there. Those that did are known by their keys when
                they are sent again.
        """


def load_sender(settings: Settings, project: Project) -> Sender:
    """The sender of this installation.

    Raises:
        ConfigurationError: there is none, or what it needs is not installed.
    """
    hint = "install headrace with the extra streaming"
    known = {entry.name: entry for entry in entry_points(group=GROUP)}
    if _DEFAULT not in known:
        raise ConfigurationError.unknown("sender", _DEFAULT, known, hint=hint)
    try:
        sender: type[Sender] = known[_DEFAULT].load()
    except ModuleNotFoundError as error:
        message = f"events are sent by the package {error.name!r}, which is not installed"
        raise ConfigurationError(message, hint=hint) from error
    return sender(settings, project)
