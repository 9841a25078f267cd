"""The application that a server process runs: Feast's, and what stands before it."""

from __future__ import annotations

import gc
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from feast.feature_server import get_app
from feast.permissions.server.utils import (
    AuthManagerType,
    ServerType,
    init_auth_manager,
    init_security_manager,
)

from headrace_features.feast_plugin.repository import feature_store
from headrace_features.feast_plugin.server.api_keys import ApiKeys, read_keys
from headrace_features.feast_plugin.server.bodies import Bodies
from headrace_features.feast_plugin.server.deadline import PUSHES, AtWork, Deadline
from headrace_features.feast_plugin.server.errors import answer_errors
from headrace_features.feast_plugin.server.probes import Probes, Readiness
from headrace_features.feast_plugin.server.refusals import Refusals
from headrace_features.feast_plugin.server.requests import Requests
from headrace_features.project import load_project
from headrace_schemas.settings import load

if TYPE_CHECKING:
    from headrace_features.feast_plugin.server.asgi import App
    from headrace_schemas.settings import ServingSettings, Settings

#: Of all that may be at work one in so many may be a push.
_PUSHES_SHARE = 4


def create() -> App:
    """The application of the project in the current directory, as uvicorn asks for it."""
    app = application(load(Path.cwd(), os.environ))
    # What is there now stays: a collection of garbage that looks at all of it takes as long as
    # some requests do.
    gc.freeze()
    return app


def application(settings: Settings) -> App:
    """The application of a project.

    Raises:
        ConfigurationError: there are no API keys, or no issuer of tokens, though they are wanted.
    """
    serving = settings.serving
    store = feature_store(settings, auth=feast_auth(serving))
    feasts = get_app(store)
    answer_errors(feasts)
    if serving.auth == "oidc":
        init_security_manager(AuthManagerType.OIDC, store)
        init_auth_manager(ServerType.REST, AuthManagerType.OIDC, store.config.auth_config)
    project = load_project(settings)
    app: App = Refusals(feasts, project.views.__contains__)
    app = Bodies(app, serving.max_kib << 10, Requests(serving, project))
    # A broker that is away holds threads up, which others read with.
    app = AtWork(app, max(1, serving.concurrency // _PUSHES_SHARE), PUSHES)
    # What is late still is at work: its thread can't be broken off.
    app = Deadline(AtWork(app, serving.concurrency), serving.timeout.total_seconds())
    if serving.auth == "keys":
        app = ApiKeys(app, read_keys(serving))
    return Probes(app, Readiness(settings))


def feast_auth(serving: ServingSettings) -> dict[str, Any] | None:
    """Feast's own configuration of authentication; None where it has none to do."""
    if serving.auth != "oidc":
        return None
    return {"type": "oidc", **serving.oidc}
