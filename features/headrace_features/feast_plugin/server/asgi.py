"""What the parts of the server share: the types of ASGI, and an answer in JSON."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import Any

import msgspec

Message = MutableMapping[str, Any]
Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

_NONE: Mapping[str, str] = {}


async def answer(
    send: Send, status: int, detail: str | None = None, headers: Mapping[str, str] = _NONE
) -> None:
    """A whole response; an error has one line that says what is wrong, as `detail`."""
    # What it quotes of a request may have halves of characters, which no text in UTF-8 can have.
    told = None if detail is None else detail.encode(errors="backslashreplace").decode()
    body = b"" if told is None else msgspec.json.encode({"detail": told})
    given = {"content-type": "application/json", "content-length": str(len(body)), **headers}
    encoded = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in given.items()]
    await send({"type": "http.response.start", "status": status, "headers": encoded})
    await send({"type": "http.response.body", "body": body})


def header(scope: Scope, name: str) -> str | None:
    """The first header of a name, which is in lower case; None if there is none."""
    wanted = name.encode("latin-1")
    for found, value in scope["headers"]:
        if found == wanted:
            text: str = value.decode("latin-1")
            return text
    return None
