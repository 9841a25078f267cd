"""API keys: who has one of them may ask."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from headrace_features.feast_plugin.server.asgi import App, Receive, Scope, Send, answer, header
from headrace_schemas.errors import ConfigurationError

if TYPE_CHECKING:
    from headrace_schemas.settings import ServingSettings

#: A shorter one could be guessed.
_FEWEST_SIGNS = 16
_BEARER = "bearer "


def read_keys(serving: ServingSettings) -> tuple[str, ...]:
    """The keys of the settings and of the file, a line for each; empty lines and `#` are skipped.

    Raises:
        ConfigurationError: there are none, one is too short, or the file can't be read.
    """
    keys = {**serving.keys, **_of_file(serving.keys_file)}
    for name, key in keys.items():
        # A header can't bear others.
        if len(key) < _FEWEST_SIGNS or not (key.isascii() and key.isprintable()):
            raise ConfigurationError(
                f"the API key {name} is no key: expected at least {_FEWEST_SIGNS} ASCII signs",
                hint="make one by: openssl rand -hex 32",
            )
    if not keys:
        raise ConfigurationError(
            f"there is no API key in {serving.keys_file}, nor in [serving.keys]",
            hint="make one by: openssl rand -hex 32",
        )
    return tuple(keys.values())


def _of_file(path: Path) -> Mapping[str, str]:
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(
            f"the API keys in {path} can't be read", hint="see [serving] keys_file"
        ) from error
    stripped = {number: line.strip() for number, line in enumerate(lines, 1)}
    return {
        f"in line {number} of {path}": line
        for number, line in stripped.items()
        if line and not line.startswith("#")
    }


class ApiKeys:
    """Lets requests through that bear a key, in `X-API-Key` or as `Authorization: Bearer`."""

    def __init__(self, app: App, keys: Iterable[str]) -> None:
        self._app = app
        self._known = [_digest(key) for key in keys]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Ask for a key."""
        if scope["type"] != "http" or self._allows(_given(scope)):
            await self._app(scope, receive, send)
            return
        await answer(
            send,
            401,
            "no valid API key was given (send one as X-API-Key or Authorization: Bearer)",
            {"www-authenticate": "Bearer"},
        )

    def _allows(self, key: str | None) -> bool:
        if key is None:
            return False
        asked = _digest(key)
        found = False
        for known in self._known:
            # All are compared, so that the time taken tells nothing.
            found |= hmac.compare_digest(asked, known)
        return found


def _given(scope: Scope) -> str | None:
    key = header(scope, "x-api-key")
    if key is not None:
        return key
    bearer = header(scope, "authorization") or ""
    return bearer[len(_BEARER) :].strip() if bearer.lower().startswith(_BEARER) else None


def _digest(key: str) -> bytes:
    return hashlib.sha256(key.encode()).digest()
