"""ASGI middleware: a request's bearer token decides who is acting while it is served.

Pure ASGI (https://asgi.readthedocs.io): it wraps Starlette, FastAPI, Litestar, Quart
or Django alike. The identity is in force until the application has sent the last byte
of its body, streamed ones included.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import TYPE_CHECKING, Any

from jwtrole.bearer import bearer_token, refusal
from jwtrole.context import acting_as
from jwtrole.errors import JWTRoleError

if TYPE_CHECKING:
    from jwtrole.bearer import Refusal
    from jwtrole.identity import Identity
    from jwtrole.tokens import JWTRole

__all__ = ["JWTRoleMiddleware"]

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
ASGIApp = Callable[[Scope, Receive, Send], Awaitable[None]]


class JWTRoleMiddleware:
    """Verify the bearer token of each HTTP request and WebSocket, and act as it.

    A bad token is answered with 401 before the application runs, a role outside the
    list with 403, keys that cannot be fetched with 503 (RFC 6750, section 3). Without
    a token the application runs as nobody: the first statement is refused or runs as
    the anonymous role, as configured.

    Args:
        app: The application to wrap.
        auth: The issuers to trust and the roles they may name.
    """

    def __init__(self, app: ASGIApp, auth: JWTRole) -> None:
        self.app = app
        self.auth = auth

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection."""
        if scope["type"] not in {"http", "websocket"}:
            await self.app(scope, receive, send)
            return
        begun = _Begun(send)
        asked = _Asked(receive)
        try:
            async with acting_as(await self._identity(scope)):
                await self.app(scope, asked, begun)
        except JWTRoleError as error:
            # What broke the configuration is a 500 and belongs in the log.
            if error.status >= 500 and error.status != 503:  # noqa: PLR2004
                raise
            if begun.answered:
                raise
            await _refuse(scope, asked, send, refusal(error))

    async def _identity(self, scope: Scope) -> Identity | None:
        values = [
            value.decode("latin-1")
            for name, value in scope["headers"]
            if name.lower() == b"authorization"
        ]
        token = bearer_token(values)
        return None if token is None else await self.auth.verify_async(token)


class _Begun:
    """Pass messages on and remember whether the answer has begun."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self.answered = False

    async def __call__(self, message: Message) -> None:
        self.answered = True
        await self._send(message)


class _Asked:
    """Pass messages in and remember whether any has been asked for."""

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self.asked = False

    async def __call__(self) -> Message:
        self.asked = True
        return await self._receive()


async def _refuse(scope: Scope, asked: _Asked, send: Send, answer: Refusal) -> None:
    prefix = "http"
    if scope["type"] == "websocket":
        if not asked.asked:
            # The answer follows websocket.connect; asked for twice it never comes.
            await asked()
        if "websocket.http.response" not in (scope.get("extensions") or {}):
            # Closing before accepting is a 403 to the client, the only answer there.
            await send({"type": "websocket.close", "code": 1008})
            return
        prefix = "websocket.http"
    await send(
        {
            "type": f"{prefix}.response.start",
            "status": answer.status,
            "headers": [
                (name.lower().encode("latin-1"), value.encode("latin-1"))
                for name, value in answer.headers
            ],
        }
    )
    await send({"type": f"{prefix}.response.body", "body": answer.body})
