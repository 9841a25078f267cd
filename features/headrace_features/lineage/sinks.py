"""Where events go: a file of this machine, and a server where one is named.

What is told must neither fail a run nor hold it up. A server is sent to by a thread of
OpenLineage's client; only at the end of a run is waited for it, for a moment.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from datetime import datetime
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from openlineage.client.transport.async_http import AsyncHttpConfig, AsyncHttpTransport

from headrace_features.lineage.events import as_json

if TYPE_CHECKING:
    from openlineage.client.event_v2 import RunEvent

    from headrace_schemas.settings import LineageSettings

#: How long the end of a run is held up by a server that is slow or away, in seconds.
PATIENCE_S = 3.0

_TRUTH = {"true": True, "false": False}


def write(lineage: LineageSettings, event: RunEvent, time: datetime) -> None:
    """Append an event to this month's file; of several processes none writes into another's line.

    Raises:
        OSError: it can't be written.
    """
    lineage.path.mkdir(parents=True, exist_ok=True)
    path = lineage.path / f"headrace-{time:%Y-%m}.ndjson"
    line = as_json(event)
    file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    try:
        # One call: the system puts the whole of it behind what is there.
        os.write(file, line)
    finally:
        os.close(file)


def send(lineage: LineageSettings, event: RunEvent) -> None:
    """Have an event sent, and go on at once.

    Raises:
        Exception: the options of the settings can't be used.
    """
    if lineage.url is not None:
        _server(lineage.url, tuple(sorted(lineage.options.items()))).transport.emit(event)


def sent(lineage: LineageSettings) -> str | None:
    """Wait a moment for what is yet to be sent; what is wrong, if anything is that wasn't told."""
    if lineage.url is None:
        return None
    return _server(lineage.url, tuple(sorted(lineage.options.items()))).problem()


class _Server:
    """Takes events over HTTP."""

    def __init__(self, url: str, options: Mapping[str, str]) -> None:
        # The client would tell of what fails by stack traces.
        logging.getLogger("openlineage").setLevel(logging.CRITICAL + 1)
        logging.getLogger("httpx2").setLevel(logging.WARNING)
        given = {"timeout": PATIENCE_S, "retry": {"total": 1}, **_nested(options), "url": url}
        self.transport = AsyncHttpTransport(AsyncHttpConfig.from_dict(given))
        self._url = url
        self._failed = 0

    def problem(self) -> str | None:
        """What hasn't been taken since this was asked last."""
        in_time = self.transport.wait_for_completion(PATIENCE_S)
        failed = self.transport.get_stats()["failed"]
        before, self._failed = self._failed, failed
        if not in_time:
            return f"{self._url} has not taken all events within {PATIENCE_S:.0f} s"
        return f"{self._url} has not taken {failed - before} events" if failed > before else None


@lru_cache(maxsize=4)
def _server(url: str, options: tuple[tuple[str, str], ...]) -> _Server:
    return _Server(url, dict(options))


def _nested(options: Mapping[str, str]) -> dict[str, Any]:
    """Options as the client takes them: `auth.type` is in an object of its own."""
    found: dict[str, Any] = {}
    for name, text in options.items():
        *above, last = name.split(".")
        at = found
        for part in above:
            at = at.setdefault(part, {})
        at[last] = _TRUTH.get(text, float(text) if last == "timeout" else text)
    return found
