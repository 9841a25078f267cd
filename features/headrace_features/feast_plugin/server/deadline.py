"""How long a request may take, and how many may be at work at once."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Collection

from headrace_features.feast_plugin.server.asgi import App, Message, Receive, Scope, Send, answer
from headrace_features.feast_plugin.server.errors import RETRY_AFTER

#: The paths by which events come in.
PUSHES = frozenset({"/push", "/write-to-online-store"})

_LOG = logging.getLogger("uvicorn.error")


class Deadline:
    """Answers 504 once a request has taken too long.

    Work in a thread can't be broken off: it goes on, and its answer is dropped.
    """

    def __init__(self, app: App, limit_s: float) -> None:
        self._app = app
        self._limit_s = limit_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Go on, and answer in its place if it takes too long."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = late = False

        async def unless_late(message: Message) -> None:
            nonlocal started
            if not late:
                started = True
                await send(message)

        work = asyncio.ensure_future(self._app(scope, receive, unless_late))
        try:
            await asyncio.wait({work}, timeout=self._limit_s)
        except asyncio.CancelledError:
            work.cancel()
            raise
        if work.done() or started:
            await work
            return
        late = True
        work.add_done_callback(_noted)
        work.cancel()
        told = f"the request was not answered within {self._limit_s:g} s"
        if scope["path"] in PUSHES:
            told += "; push the same events again: those that came through are known by their keys"
        await answer(send, 504, told)


def _noted(work: asyncio.Future[None]) -> None:
    if not work.cancelled() and (error := work.exception()) is not None:
        _LOG.warning("a request that took too long failed: %s", error)


class AtWork:
    """Answers 503 while as many requests are at work as may be, of all or of some paths."""

    def __init__(self, app: App, most: int, paths: Collection[str] | None = None) -> None:
        self._app = app
        self._most = most
        self._paths = paths
        self._now = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Go on if there is room."""
        counted = self._paths is None or scope.get("path") in self._paths
        if scope["type"] != "http" or not counted:
            await self._app(scope, receive, send)
            return
        if self._now >= self._most:
            kind = "requests" if self._paths is None else "pushes"
            told = f"{self._most} {kind} are at work, as many as may be; try again shortly"
            await answer(send, 503, told, RETRY_AFTER)
            return
        self._now += 1
        try:
            await self._app(scope, receive, send)
        finally:
            self._now -= 1
