from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import threading
import time
from typing import TYPE_CHECKING, Any

import httpx
import pytest
import uvicorn

from jwtrole.asgi import JWTRoleMiddleware
from jwtrole.context import UNSET, acting, acting_as, current_identity
from jwtrole.errors import (
    ConfigurationError,
    IdentityChanged,
    KeysUnavailable,
    NoIdentity,
    RoleDenied,
    TokenRejected,
)
from jwtrole.identity import Identity
from jwtrole.testing import ThrowawayIssuer
from jwtrole.tokens import Issuer, JWTRole

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from jwtrole.asgi import Message, Receive, Scope, Send

ISSUER = ThrowawayIssuer()
DOWN = ThrowawayIssuer("https://down.test/")


def closed_port() -> int:
    """Return a port of this machine where nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


AUTH = JWTRole(
    [
        ISSUER.issuer,
        Issuer(
            DOWN.name,
            audience=DOWN.audience,
            algorithms=[DOWN.algorithm],
            jwks_uri=f"http://127.0.0.1:{closed_port()}/keys",
        ),
    ],
    roles=["member"],
)

#: What the application raises on some paths.
ERRORS: dict[str, Callable[[], Exception]] = {
    "/nobody": lambda: NoIdentity("private detail"),
    "/denied": lambda: RoleDenied("private detail"),
    "/keys": lambda: KeysUnavailable("private detail", issuer="x", retry_after=7),
    "/broken": lambda: ConfigurationError("private detail"),
    "/changed": lambda: IdentityChanged("private detail", in_force="a", wanted="b"),
    "/foreign": lambda: LookupError("private detail"),
}


def who() -> str:
    """Return who is acting: the subject, nobody, or that it was not said."""
    found = acting()
    if found is UNSET:
        return "unset"
    return "nobody" if found is None else str(found.subject)


class App:
    """Be an application that tells who is acting, streams, and fails on demand."""

    def __init__(self) -> None:
        self.lifespan: list[str] = []
        self.failures: list[BaseException] = []
        self.middleware = JWTRoleMiddleware(self.serve, AUTH)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve through the middleware and note what comes out of it."""
        try:
            await self.middleware(scope, receive, send)
        except Exception as error:
            self.failures.append(error)
            raise

    async def serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve what is inside the middleware."""
        if scope["type"] == "lifespan":
            await self.live(receive, send)
            return
        if scope["path"] in ERRORS:
            error = ERRORS[scope["path"]]()
            raise error
        await send({"type": "http.response.start", "status": 200, "headers": []})
        for _ in range(3):
            await asyncio.sleep(0.002)
            body = f"{who()} ".encode()
            await send({"type": "http.response.body", "body": body, "more_body": True})
        if scope["path"] == "/late":
            raise NoIdentity("private detail")
        await send({"type": "http.response.body", "body": b"end"})

    async def live(self, receive: Receive, send: Send) -> None:
        """Serve the lifespan."""
        for _ in range(2):
            message = await receive()
            self.lifespan.append(f"{message['type']} {who()}")
            await send({"type": f"{message['type']}.complete"})


@contextlib.contextmanager
def serving(app: App) -> Iterator[str]:
    """Serve an application on loopback and give its address."""
    config = uvicorn.Config(app, lifespan="on", ws="none", log_config=None)
    server = uvicorn.Server(config)
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        try:
            while not server.started and thread.is_alive():
                time.sleep(0.005)
            yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join(10)


@pytest.fixture(scope="module")
def app() -> App:
    """Return the one application of these tests."""
    return App()


@pytest.fixture(scope="module")
def address(app: App) -> Iterator[str]:
    """Return where the application is served."""
    with serving(app) as found:
        yield found


@pytest.fixture
def client(address: str, app: App) -> Iterator[httpx.Client]:
    """Return a client of the served application."""
    app.failures.clear()
    with httpx.Client(base_url=address, timeout=10) as found:
        yield found


def bearer(token: str) -> dict[str, str]:
    """Return the header a client sends a token in."""
    return {"Authorization": f"Bearer {token}"}


def mint(**claims: Any) -> str:
    """Return a token of the trusted issuer, for a member."""
    return ISSUER.mint(**{"role": "member", "sub": "ann", **claims})


def test_a_good_token_acts(client: httpx.Client) -> None:
    """The application runs as the holder of the token."""
    answer = client.get("/", headers=bearer(mint()))

    assert (answer.status_code, answer.text) == (200, "ann ann ann end")


def test_without_a_token_nobody_acts(client: httpx.Client) -> None:
    """The application runs, and runs as nobody, not as whoever came before."""
    client.get("/", headers=bearer(mint()))

    assert client.get("/").text == "nobody nobody nobody end"
    other_scheme = {"Authorization": "Basic YW5uOnNlY3JldA=="}
    assert client.get("/", headers=other_scheme).text == "nobody nobody nobody end"


@pytest.mark.parametrize(
    ("token", "status", "challenge"),
    [
        ("nonsense", 401, 'Bearer error="invalid_token", error_description="'),
        (mint(exp=1), 401, 'Bearer error="invalid_token", error_description="'),
        (mint(aud="else"), 401, 'Bearer error="invalid_token", error_description="'),
        (
            ThrowawayIssuer("https://stranger.test/").mint(),
            401,
            'Bearer error="invalid_token", error_description="',
        ),
        (mint(role="admin"), 403, 'Bearer error="insufficient_scope"'),
    ],
    ids=["malformed", "expired", "audience", "issuer", "role"],
)
def test_a_bad_token_is_refused_before_the_application(
    client: httpx.Client, app: App, token: str, status: int, challenge: str
) -> None:
    """The answer carries status and challenge, and no part of the token."""
    answer = client.get("/broken", headers=bearer(token))

    assert answer.status_code == status
    assert answer.headers["www-authenticate"].startswith(challenge)
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["cache-control"] == "no-store"
    assert set(answer.json()) == {"error", "detail"}
    assert token not in f"{answer.text} {answer.headers}"
    assert app.failures == []


def test_keys_that_cannot_be_had_are_a_503(client: httpx.Client) -> None:
    """An issuer whose keys cannot be fetched makes the server, not the token, fail."""
    answer = client.get("/", headers=bearer(DOWN.mint(role="member")))

    assert answer.status_code == 503
    assert int(answer.headers["retry-after"]) > 0
    assert "www-authenticate" not in answer.headers


def test_two_authorization_headers_are_refused(client: httpx.Client) -> None:
    """Two headers, even twice the same good token, are one bad request."""
    header = ("Authorization", f"Bearer {mint()}")

    answer = client.get("/", headers=[header, header])

    assert answer.status_code == 401
    assert "several Authorization headers" in answer.json()["detail"]


def test_a_streamed_body_is_made_under_the_identity(client: httpx.Client) -> None:
    """Who is acting stays in force until the last piece of the body is sent."""
    with client.stream("GET", "/", headers=bearer(mint(sub="eve"))) as answer:
        pieces = list(answer.iter_text())

    assert "".join(pieces) == "eve eve eve end"


def test_requests_at_the_same_time_see_their_own_identity(address: str) -> None:
    """Fifty requests at once, and each application sees its own caller."""
    names = [f"user{n}" for n in range(50)]

    async def ask_all() -> list[str]:
        limits = httpx.Limits(max_connections=50)
        async with httpx.AsyncClient(
            base_url=address, limits=limits, timeout=30
        ) as client:
            answers = await asyncio.gather(
                *(client.get("/", headers=bearer(mint(sub=name))) for name in names)
            )
        return [answer.text for answer in answers]

    assert asyncio.run(ask_all()) == [f"{name} {name} {name} end" for name in names]


@pytest.mark.parametrize(
    ("path", "status", "header", "value"),
    [
        ("/nobody", 401, "www-authenticate", "Bearer"),
        ("/denied", 403, "www-authenticate", 'Bearer error="insufficient_scope"'),
        ("/keys", 503, "retry-after", "7"),
    ],
)
def test_what_the_application_may_not_is_answered(
    client: httpx.Client, path: str, status: int, header: str, value: str
) -> None:
    """A refusal from inside the application is answered, its message kept back."""
    answer = client.get(path)

    assert (answer.status_code, answer.headers[header]) == (status, value)
    assert "private detail" not in answer.text


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/broken", ConfigurationError),
        ("/changed", IdentityChanged),
        ("/foreign", LookupError),
    ],
)
def test_what_is_broken_is_the_servers_to_log(
    client: httpx.Client, app: App, path: str, kind: type[Exception]
) -> None:
    """An error that is no refusal passes through and is the server's 500."""
    answer = client.get(path, headers=bearer(mint()))

    assert answer.status_code == 500
    assert [type(failure) for failure in app.failures] == [kind]


def test_an_error_after_the_answer_began_is_not_swallowed(
    client: httpx.Client, app: App
) -> None:
    """A refusal that comes too late breaks the answer off, and the server hears it."""
    with pytest.raises(httpx.RemoteProtocolError):
        client.get("/late")

    assert [type(failure) for failure in app.failures] == [NoIdentity]


def test_the_lifespan_passes_through() -> None:
    """Start-up and shutdown reach the application, outside any identity."""
    app = App()

    with serving(app) as address:
        assert httpx.get(address).status_code == 200

    assert app.lifespan == ["lifespan.startup unset", "lifespan.shutdown unset"]


class Wire:
    """Be both ends of a raw connection.

    Args:
        incoming: What the client sends; nothing more is ever received after it.
    """

    def __init__(self, *incoming: str) -> None:
        self._incoming = list(incoming)
        self.sent: list[Message] = []

    async def receive(self) -> Message:
        """Return the client's next message."""
        assert self._incoming, "asked for a message that never comes"
        return {"type": self._incoming.pop(0)}

    async def send(self, message: Message) -> None:
        """Take a message for the client."""
        self.sent.append(message)


def websocket(token: str | None, **more: Any) -> Scope:
    """Return the scope of a WebSocket that a token opens."""
    headers = [] if token is None else [(b"Authorization", b"Bearer " + token.encode())]
    return {"type": "websocket", "path": "/", "headers": headers, **more}


async def echo(scope: Scope, receive: Receive, send: Send) -> None:
    """Accept a WebSocket and say who is acting."""
    await receive()
    await send({"type": "websocket.accept"})
    await send({"type": "websocket.send", "text": who()})


@pytest.mark.asyncio
async def test_a_websocket_acts_as_its_token() -> None:
    """What happens on a WebSocket happens as the one who opened it."""
    wire = Wire("websocket.connect")

    await JWTRoleMiddleware(echo, AUTH)(websocket(mint()), wire.receive, wire.send)

    assert [m.get("text") for m in wire.sent] == [None, "ann"]


@pytest.mark.asyncio
@pytest.mark.parametrize("more", [{}, {"extensions": {}}, {"extensions": None}])
async def test_a_websocket_is_closed_before_it_opens(more: dict[str, Any]) -> None:
    """A bad token closes the WebSocket before the application or an accept."""
    wire = Wire("websocket.connect")

    await JWTRoleMiddleware(echo, AUTH)(
        websocket("nonsense", **more), wire.receive, wire.send
    )

    assert wire.sent == [{"type": "websocket.close", "code": 1008}]


@pytest.mark.asyncio
async def test_a_websocket_is_denied_with_a_whole_answer_where_it_can_be() -> None:
    """Where the server can deny with an HTTP answer it is the one HTTP gets."""
    wire = Wire("websocket.connect")
    scope = websocket(mint(role="admin"), extensions={"websocket.http.response": {}})

    await JWTRoleMiddleware(echo, AUTH)(scope, wire.receive, wire.send)

    start, body = wire.sent
    assert start["type"] == "websocket.http.response.start"
    assert start["status"] == 403
    assert (b"www-authenticate", b'Bearer error="insufficient_scope"') in start[
        "headers"
    ]
    assert body["type"] == "websocket.http.response.body"
    assert json.loads(body["body"])["error"] == "insufficient_scope"


@pytest.mark.asyncio
@pytest.mark.parametrize("asks", [True, False])
async def test_a_websocket_that_needs_a_token_is_closed(asks: bool) -> None:
    """NoIdentity before the accept closes, whether or not the connect was read."""
    wire = Wire("websocket.connect")

    async def needy(scope: Scope, receive: Receive, send: Send) -> None:
        if asks:
            await receive()
        raise NoIdentity("private detail")

    await JWTRoleMiddleware(needy, AUTH)(websocket(None), wire.receive, wire.send)

    assert wire.sent == [{"type": "websocket.close", "code": 1008}]


@pytest.mark.asyncio
async def test_a_websocket_that_opened_fails_loudly() -> None:
    """NoIdentity after the accept is the server's to hear."""
    wire = Wire("websocket.connect")

    async def late(scope: Scope, receive: Receive, send: Send) -> None:
        await echo(scope, receive, send)
        raise NoIdentity("private detail")

    with pytest.raises(NoIdentity):
        await JWTRoleMiddleware(late, AUTH)(websocket(None), wire.receive, wire.send)

    assert len(wire.sent) == 2


@pytest.mark.asyncio
@pytest.mark.parametrize(
    "token", [mint(), None, "nonsense"], ids=["good", "none", "bad"]
)
async def test_the_context_is_restored(token: str | None) -> None:
    """After a request, good or bad, whoever acted before acts again."""
    before = Identity("member", {"sub": "before"})

    with acting_as(before):
        for path in ("/", "/broken"):
            wire = Wire()
            scope = websocket(token, type="http", path=path)
            with contextlib.suppress(ConfigurationError):
                await App().middleware(scope, wire.receive, wire.send)
            assert current_identity() is before

    assert acting() is UNSET


@pytest.mark.asyncio
async def test_a_request_without_a_token_inherits_nobody() -> None:
    """An identity around the server is not the request's."""
    wire = Wire("websocket.connect")

    with acting_as(Identity("member", {"sub": "around"})):
        await JWTRoleMiddleware(echo, AUTH)(websocket(None), wire.receive, wire.send)

    assert wire.sent[-1]["text"] == "nobody"


@pytest.mark.asyncio
async def test_header_names_are_read_in_any_case() -> None:
    """A server that keeps the case of header names makes no token invisible."""
    wire = Wire()
    scope = {"type": "http", "path": "/", "headers": [(b"AUTHORIZATION", b"Bearer x")]}

    await App().middleware(scope, wire.receive, wire.send)

    assert wire.sent[0]["status"] == 401
    with pytest.raises(TokenRejected):
        await AUTH.verify_async("x")
