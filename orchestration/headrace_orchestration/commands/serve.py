"""`headrace serve`: the online features over HTTP."""

from __future__ import annotations

from typing import Annotated

import typer

from headrace_orchestration.session import current_settings

Host = Annotated[
    str | None, typer.Option(help="Where to listen. Default: the setting serving.host.")
]
Port = Annotated[
    int | None,
    typer.Option(min=0, max=65_535, help="0 for a free one. Default: the setting serving.port."),
]
Workers = Annotated[
    int | None, typer.Option(min=1, help="Processes. Default: the setting serving.workers.")
]
AccessLog = Annotated[bool, typer.Option("--access-log", help="Log each request.")]


def serve(
    host: Host = None, port: Port = None, workers: Workers = None, access_log: AccessLog = False
) -> None:
    """Answer requests for online features over HTTP, as `feast serve` does, until it is ended.

    /health and /ready tell how it is. Limits, authentication and TLS are settings: see the README.
    """
    settings = current_settings()
    from headrace_features.feast_plugin.server.running import serve as run

    serving = settings.serving
    run(
        settings,
        serving.host if host is None else host,
        serving.port if port is None else port,
        serving.workers if workers is None else workers,
        access_log=access_log,
    )
