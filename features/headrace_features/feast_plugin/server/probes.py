"""Whether the process lives, and whether it can answer: asked by who starts and watches it."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from typing import TYPE_CHECKING

from headrace_features.feast_plugin.registry_file import registered_views
from headrace_features.feast_plugin.server.asgi import App, Receive, Scope, Send, answer
from headrace_features.feast_plugin.server.errors import RETRY_AFTER
from headrace_features.online.stores import open_store
from headrace_schemas.errors import ConfigurationError, HeadraceError

if TYPE_CHECKING:
    from headrace_features.online.store import StateStore
    from headrace_schemas.settings import Settings

HEALTH = "/health"
READY = "/ready"


class Readiness:
    """Looks whether the registry can be read and the online store answers."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        # Requests may hold all threads that they share.
        self._thread = ThreadPoolExecutor(1, "headrace-ready")

    async def problem(self) -> str | None:
        """Why requests can't be answered now; None if they can."""
        limit_s = self._settings.serving.timeout.total_seconds()
        try:
            looking = asyncio.get_running_loop().run_in_executor(self._thread, self._look)
            await asyncio.wait_for(looking, limit_s)
        except HeadraceError as error:
            return str(error)
        except TimeoutError:
            return f"registry and online store did not answer within {limit_s:g} s"
        return None

    def _look(self) -> None:
        require_registered(self._settings)
        self._store.progress()

    @cached_property
    def _store(self) -> StateStore:
        return open_store(self._settings)


def require_registered(settings: Settings) -> None:
    """Refuse to serve a project of which nothing is registered.

    Raises:
        ConfigurationError: there is no registry, it can't be read, or has no view of the project.
    """
    if not registered_views(settings.feast.registry, settings.project.name):
        raise ConfigurationError(
            f"no feature view of {settings.project.name} is registered in"
            f" {settings.feast.registry}",
            hint="run: headrace apply",
        )


class Probes:
    """Answers `/health` and `/ready`, to anybody; all else goes on."""

    def __init__(self, app: App, readiness: Readiness) -> None:
        self._app = app
        self._readiness = readiness

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a probe, or go on."""
        path = scope.get("path")
        if scope["type"] != "http" or path not in {HEALTH, READY}:
            await self._app(scope, receive, send)
        elif scope["method"] not in {"GET", "HEAD"}:
            await answer(send, 405, f"{path} is asked by GET", {"allow": "GET, HEAD"})
        elif path == HEALTH:
            await answer(send, 200)
        else:
            problem = await self._readiness.problem()
            if problem is None:
                await answer(send, 200)
            else:
                await answer(send, 503, problem, RETRY_AFTER)
