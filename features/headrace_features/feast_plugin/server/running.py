"""Starts the server and waits until it is told to end."""

from __future__ import annotations

import os
import signal
import socket
import ssl
import sys
from collections.abc import Mapping
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any

from headrace_features.feast_plugin.server.api_keys import read_keys
from headrace_features.feast_plugin.server.probes import require_registered
from headrace_features.project import load_project
from headrace_schemas.errors import ConfigurationError

if TYPE_CHECKING:
    from headrace_schemas.settings import ServingSettings, Settings

_APP = "headrace_features.feast_plugin.server.app:create"
#: A worker that says nothing for so long is ended and replaced; on a busy machine it takes a while
#: to start.
_SILENT_S = 30
_TLS = {
    "certfile": "ssl_certfile",
    "keyfile": "ssl_keyfile",
    "keyfile_password": "ssl_keyfile_password",
    "ca_certs": "ssl_ca_certs",
}


def serve(
    settings: Settings, host: str, port: int, workers: int, *, access_log: bool = False
) -> None:
    """Serve the project of the current directory until SIGTERM or SIGINT.

    What is at work then is finished first. With several workers one that dies is replaced. On
    SIGHUP settings, keys and certificates are read anew.

    Raises:
        ConfigurationError: it can't be served so.
    """
    import uvicorn

    require_servable(settings, host)
    _require_free(host, port)
    limit_s = settings.serving.timeout.total_seconds()
    # uvicorn sends a signal that ended it to its process once more: it has done its work.
    before = signal.signal(signal.SIGTERM, _done)
    anew: list[int] = []

    def begin_anew(number: int, frame: object) -> None:
        del frame
        anew.append(number)
        os.kill(os.getpid(), signal.SIGTERM)

    if workers == 1:
        # With several, uvicorn replaces one after the other.
        signal.signal(signal.SIGHUP, begin_anew)
    try:
        uvicorn.run(
            _APP,
            factory=True,
            host=host,
            port=port,
            workers=workers,
            access_log=access_log,
            server_header=False,
            timeout_worker_healthcheck=_SILENT_S,
            timeout_graceful_shutdown=max(1, round(limit_s)) + 1,
            **tls_options(settings.serving.tls),
        )
    finally:
        signal.signal(signal.SIGTERM, before)
    if anew:
        os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])  # noqa: S606 - itself


def require_servable(settings: Settings, host: str) -> None:
    """Refuse what would fail in each worker, or be open to others unnoticed.

    Raises:
        ConfigurationError: it says what is wrong.
    """
    serving = settings.serving
    load_project(settings)
    require_registered(settings)
    if serving.auth == "keys":
        read_keys(serving)
    if serving.auth == "oidc":
        _require_issuer(serving)
    _require_tls(serving.tls)
    unsaid = settings.source_of("serving.auth") == "default"
    if serving.auth == "none" and unsaid and not _loopback(host):
        raise ConfigurationError(
            f"{host} is reached by others, and nobody would be asked who they are",
            hint='set [serving] auth to "keys" or "oidc", or to "none" if that is meant',
        )


def tls_options(tls: Mapping[str, str]) -> dict[str, Any]:
    """The options of uvicorn for some of ours."""
    options: dict[str, Any] = {_TLS[name]: value for name, value in tls.items()}
    if "ca_certs" in tls:
        # Clients have to show a certificate of this authority.
        options["ssl_cert_reqs"] = ssl.CERT_REQUIRED
    return options


def _require_tls(tls: Mapping[str, str]) -> None:
    if not tls:
        return
    if not {"certfile", "keyfile"} <= tls.keys():
        raise ConfigurationError("[serving.tls] needs both certfile and keyfile")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        # Without a password OpenSSL would ask for one at the terminal.
        context.load_cert_chain(
            tls["certfile"], tls["keyfile"], lambda: tls.get("keyfile_password", "")
        )
        if "ca_certs" in tls:
            context.load_verify_locations(tls["ca_certs"])
    except OSError as error:
        raise ConfigurationError(
            f"the certificate of [serving.tls] can't be used: {error.strerror or error}",
            hint="certfile and keyfile are files of PEM text that belong together",
        ) from error


def _require_issuer(serving: ServingSettings) -> None:
    from feast.permissions.auth_model import OidcAuthConfig
    from pydantic import ValidationError

    from headrace_features.feast_plugin.server.app import feast_auth

    try:
        OidcAuthConfig(**(feast_auth(serving) or {}))
    except ValidationError as error:
        wrong = ", ".join(".".join(map(str, one["loc"])) for one in error.errors())
        raise ConfigurationError(
            f"[serving.oidc] lacks or misstates: {wrong}",
            hint="it has the names of Feast's OIDC configuration, auth_discovery_url among them",
        ) from error


def _require_free(host: str, port: int) -> None:
    """See that nobody listens there: uvicorn would end the process by itself."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        socket.create_server((host, port), family=family).close()
    except OSError as error:
        raise ConfigurationError(
            f"can't listen on {host}, port {port}: {error.strerror}",
            hint="choose another: --host and --port, or [serving]",
        ) from error


def _loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _done(number: int, frame: object) -> None:
    del number, frame
