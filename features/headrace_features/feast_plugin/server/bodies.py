"""How many bytes a request may have: it is read whole before it goes on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from headrace_features.feast_plugin.server.asgi import (
    App,
    Message,
    Receive,
    Scope,
    Send,
    answer,
    header,
)

if TYPE_CHECKING:
    from headrace_features.feast_plugin.server.requests import Requests

#: So much more than is taken is read and thrown away, so that the client hears why.
_DRAINED = 16


class Bodies:
    """Reads a request, and refuses one that is too large or asks for what isn't taken."""

    def __init__(self, app: App, most_bytes: int, requests: Requests) -> None:
        self._app = app
        self._most = most_bytes
        self._requests = requests

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Read the body, and go on if it is taken."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        body = await self._body(scope, receive)
        if body is None:
            told = f"the request is larger than {self._most >> 10:,} KiB"
            hint = "send less at a time, or see [serving] max_kib"
            await answer(send, 413, f"{told} ({hint})", {"connection": "close"})
            return
        refusal = self._requests.refusal(scope["path"], body)
        if refusal is not None:
            await answer(send, *refusal)
            return
        pending: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

        async def replayed() -> Message:
            return pending.pop() if pending else await receive()

        await self._app(scope, replayed, send)

    async def _body(self, scope: Scope, receive: Receive) -> bytes | None:
        """None if it is too large."""
        most = self._most
        told = header(scope, "content-length") or ""
        if told.isdigit() and int(told) > most * _DRAINED:
            return None
        parts: list[bytes] = []
        size = 0
        while size <= most * _DRAINED:
            message = await receive()
            part = message.get("body", b"")
            size += len(part)
            if size <= most:
                parts.append(part)
            if message["type"] == "http.disconnect" or not message.get("more_body"):
                break
        return b"".join(parts) if size <= most else None
