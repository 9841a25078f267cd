"""What isn't offered of Feast's application: materialization of our views, a demo of a chat."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from headrace_features.feast_plugin.server.asgi import App, Message, Receive, Scope, Send, answer
from headrace_features.feast_plugin.server.decoding import decoded

_MATERIALIZE = frozenset({"/materialize", "/materialize-incremental"})
_DEMO = ("/chat", "/static", "/ws")


class _Asked(msgspec.Struct):
    feature_views: list[str] | None = None


_DECODER = msgspec.json.Decoder(_Asked)


class Refusals:
    """Refuses what would note in the registry that our views are being materialized, and fail."""

    def __init__(self, app: App, is_ours: Callable[[str], bool]) -> None:
        """Know which views are ours, by name."""
        self._app = app
        self._is_ours = is_ours

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Refuse, or go on."""
        if scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008, "reason": "not offered"})
            return
        path = scope.get("path", "")
        if path.startswith(_DEMO):
            await answer(send, 404, f"there is no {path} here")
        elif path in _MATERIALIZE:
            await self._materialize(scope, receive, send)
        else:
            await self._app(scope, receive, send)

    async def _materialize(self, scope: Scope, receive: Receive, send: Send) -> None:
        # Whole: what is before this has read it.
        request = await receive()
        try:
            asked = decoded(request.get("body", b""), _DECODER)
        except msgspec.ValidationError as error:
            await answer(send, 422, f"the request is not as expected: {error}")
            return
        # What is no JSON goes on: Feast says what is wrong with it.
        names = [] if asked is None else asked.feature_views
        if names is None:
            await answer(
                send, 422, "name the feature_views (those of Headrace: headrace materialize)"
            )
            return
        for name in names:
            if self._is_ours(name):
                told = f"feature view {name} keeps state, which no request can materialize"
                await answer(send, 422, f"{told} (run: headrace materialize --view {name})")
                return
        pending: list[Message] = [request]

        async def replayed() -> Message:
            return pending.pop() if pending else await receive()

        await self._app(scope, replayed, send)
