from __future__ import annotations

import asyncio
import contextlib
import socketserver
import threading
import time
from typing import TYPE_CHECKING, Any, Self
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer
from wsgiref.util import setup_testing_defaults
from wsgiref.validate import validator

import httpx
import pytest

from jwtrole.context import UNSET, acting, acting_as, current_identity
from jwtrole.errors import (
    ConfigurationError,
    IdentityChanged,
    KeysUnavailable,
    NoIdentity,
    RoleDenied,
)
from jwtrole.identity import Identity
from jwtrole.testing import ThrowawayIssuer
from jwtrole.tokens import Issuer, JWTRole
from jwtrole.wsgi import JWTRoleMiddleware

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from jwtrole.wsgi import Environ, StartResponse

ISSUER = ThrowawayIssuer()
DOWN = ThrowawayIssuer("https://down.test/")
AUTH = JWTRole(
    [
        ISSUER.issuer,
        Issuer(
            DOWN.name,
            audience=DOWN.audience,
            algorithms=[DOWN.algorithm],
            # Nobody listens on port 1.
            jwks_uri="http://127.0.0.1:1/keys",
        ),
    ],
    roles=["member"],
)

#: What the application raises, at once or, with ``?later``, at the body's first piece.
ERRORS: dict[str, Callable[[], Exception]] = {
    "/nobody": lambda: NoIdentity("private detail"),
    "/denied": lambda: RoleDenied("private detail"),
    "/keys": lambda: KeysUnavailable("private detail", issuer="x", retry_after=7),
    "/broken": lambda: ConfigurationError("private detail"),
    "/changed": lambda: IdentityChanged("private detail", in_force="a", wanted="b"),
    "/foreign": lambda: LookupError("private detail"),
}
PLAIN = [("Content-Type", "text/plain")]


def who() -> str:
    """Return who is acting: the subject, nobody, or that it was not said."""
    found = acting()
    if found is UNSET:
        return "unset"
    return "nobody" if found is None else str(found.subject)


class Pieces:
    """Be a body that is made while it is read, and notes who closes it."""

    closed_by: list[str]

    def __init__(self, closed_by: list[str]) -> None:
        self.closed_by = closed_by
        self._left = 3

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> bytes:
        if not self._left:
            raise StopIteration
        self._left -= 1
        time.sleep(0.002)
        return f"{who()} ".encode()

    def close(self) -> None:
        """Note who is acting."""
        self.closed_by.append(who())


class App:
    """Be an application that tells who is acting, streams, and fails on demand."""

    def __init__(self) -> None:
        self.closed_by: list[str] = []

    def __call__(
        self, environ: Environ, start_response: StartResponse
    ) -> Iterable[bytes]:
        """Serve one request, inside the middleware."""
        path = environ["PATH_INFO"]
        if path in ERRORS:
            error = ERRORS[path]()
            if not environ.get("QUERY_STRING"):
                raise error
            return self.failing(error)
        if path == "/late":
            return self.breaking(start_response)
        if path == "/write":
            start_response("200 OK", PLAIN)(f"{who()} ".encode())
            return iter([b"end"])
        start_response("200 OK", PLAIN)
        return [who().encode()] if path == "/whole" else Pieces(self.closed_by)

    def failing(self, error: Exception) -> Iterator[bytes]:
        """Fail as a generator does: when it is read, not when it is called."""
        raise error
        yield b""

    def breaking(self, start_response: StartResponse) -> Iterator[bytes]:
        """Begin an answer of 99 bytes and fail in the middle of it."""
        start_response("200 OK", [*PLAIN, ("Content-Length", "99")])
        try:
            yield f"{who()} ".encode()
            raise NoIdentity("private detail")
        finally:
            self.closed_by.append(who())


class Server(socketserver.ThreadingMixIn, WSGIServer):
    """Be the standard library's server, with a thread for each request."""

    request_queue_size = 64


class Handler(WSGIRequestHandler):
    """Serve without a line for each request."""

    def log_message(self, *args: Any) -> None:
        """Say nothing."""


@pytest.fixture(scope="module")
def app() -> App:
    """Return the one application of these tests."""
    return App()


@pytest.fixture(scope="module")
def address(app: App) -> Iterator[str]:
    """Return where the application is served, each side held to PEP 3333."""
    # Two validators: one is the middleware's server, the other its application.
    served = validator(JWTRoleMiddleware(validator(app), AUTH))
    with Server(("127.0.0.1", 0), Handler) as server:
        server.set_app(served)
        thread = threading.Thread(target=server.serve_forever, args=[0.01])
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join(10)


@pytest.fixture
def client(address: str, app: App) -> Iterator[httpx.Client]:
    """Return a client of the served application."""
    app.closed_by.clear()
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
    answer = client.get("/whole", headers=bearer(mint()))

    assert (answer.status_code, answer.text) == (200, "ann")


def test_a_body_that_is_whole_keeps_its_length(app: App) -> None:
    """A list passes as it is, so that the server can tell the body's length."""
    environ: dict[str, Any] = {"PATH_INFO": "/whole"}
    setup_testing_defaults(environ)

    body = JWTRoleMiddleware(app, AUTH)(environ, lambda *_: lambda _: None)

    assert body == [b"nobody"]


def test_without_a_token_nobody_acts(client: httpx.Client) -> None:
    """The application runs, and runs as nobody, not as whoever came before."""
    client.get("/whole", headers=bearer(mint()))

    assert client.get("/whole").text == "nobody"
    other_scheme = {"Authorization": "Basic YW5uOnNlY3JldA=="}
    assert client.get("/whole", headers=other_scheme).text == "nobody"


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
    client: httpx.Client, token: str, status: int, challenge: str
) -> None:
    """The answer carries status and challenge, and no part of the token."""
    answer = client.get("/broken", headers=bearer(token))

    assert answer.status_code == status
    assert answer.headers["www-authenticate"].startswith(challenge)
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["cache-control"] == "no-store"
    assert set(answer.json()) == {"error", "detail"}
    assert token not in f"{answer.text} {answer.headers}"


def test_keys_that_cannot_be_had_are_a_503(client: httpx.Client) -> None:
    """An issuer whose keys cannot be fetched makes the server, not the token, fail."""
    answer = client.get("/", headers=bearer(DOWN.mint(role="member")))

    assert (answer.status_code, answer.reason_phrase) == (503, "Service Unavailable")
    assert int(answer.headers["retry-after"]) > 0
    assert "www-authenticate" not in answer.headers


def test_two_authorization_headers_are_refused(client: httpx.Client) -> None:
    """Two headers, even twice the same good token, are one bad request."""
    header = ("Authorization", f"Bearer {mint()}")

    answer = client.get("/", headers=[header, header])

    assert answer.status_code == 401
    assert answer.json()["error"] == "invalid_token"


def test_a_streamed_body_is_made_under_the_identity(
    client: httpx.Client, app: App
) -> None:
    """Each piece is made, and the body closed once, by whoever sent the request."""
    with client.stream("GET", "/", headers=bearer(mint(sub="eve"))) as answer:
        pieces = list(answer.iter_text())

    assert "".join(pieces) == "eve eve eve "
    assert app.closed_by == ["eve"]


def test_what_is_written_at_once_is_sent(client: httpx.Client) -> None:
    """An application of the old kind, which writes, works and has its identity."""
    assert client.get("/write", headers=bearer(mint())).text == "ann end"


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

    assert asyncio.run(ask_all()) == [f"{name} {name} {name} " for name in names]


@pytest.mark.parametrize("query", ["", "?later"])
@pytest.mark.parametrize(
    ("path", "status", "header"),
    [
        ("/nobody", 401, ("www-authenticate", "Bearer")),
        ("/denied", 403, ("www-authenticate", 'Bearer error="insufficient_scope"')),
        ("/keys", 503, ("retry-after", "7")),
    ],
)
def test_what_the_application_may_not_is_answered(
    client: httpx.Client, path: str, query: str, status: int, header: tuple[str, str]
) -> None:
    """A refusal from the application or its body's start is answered, without why."""
    answer = client.get(path + query)

    assert answer.status_code == status
    assert header in answer.headers.items()
    assert "private detail" not in answer.text


@pytest.mark.parametrize("query", ["", "?later"])
@pytest.mark.parametrize("path", ["/broken", "/changed", "/foreign"])
def test_what_is_broken_is_the_servers_500(
    client: httpx.Client, capfd: pytest.CaptureFixture[str], path: str, query: str
) -> None:
    """An error that is no refusal is the server's to answer and to log."""
    answer = client.get(path + query, headers=bearer(mint()))

    assert answer.status_code == 500


@pytest.mark.parametrize("later", ["", "later"])
@pytest.mark.parametrize("path", ["/broken", "/changed", "/foreign"])
def test_what_is_broken_propagates(app: App, path: str, later: str) -> None:
    """The very exception of the application comes out of the middleware."""
    environ = {"PATH_INFO": path, "QUERY_STRING": later}

    with pytest.raises(type(ERRORS[path]()), match="private detail"):
        list(JWTRoleMiddleware(app, AUTH)(environ, lambda *_: lambda _: None))

    assert acting() is UNSET


def test_an_error_after_the_answer_began_is_not_swallowed(
    client: httpx.Client, app: App, capfd: pytest.CaptureFixture[str]
) -> None:
    """A refusal that comes too late breaks the answer off, its body cleaned up."""
    with pytest.raises(httpx.RemoteProtocolError):
        client.get("/late", headers=bearer(mint()))

    assert app.closed_by == ["ann"]


def test_a_refused_body_is_closed_and_ends(app: App) -> None:
    """After a refusal from inside the body it has no more pieces and is closed."""
    started: list[tuple[Any, ...]] = []

    def start_response(*args: Any) -> Callable[[bytes], object]:
        started.append(args)
        return lambda _: None

    environ = {"PATH_INFO": "/nobody", "QUERY_STRING": "later"}
    body: Any = JWTRoleMiddleware(app, AUTH)(environ, start_response)

    pieces = list(body)
    body.close()

    assert len(pieces) == 1
    assert list(body) == []
    assert [args[0] for args in started] == ["401 Unauthorized"]


def test_a_body_without_close_is_closed_without_a_word() -> None:
    """An iterator that has nothing to close is no error."""

    def plain(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        start_response("200 OK", PLAIN)
        return iter([b"a", b"b"])

    body: Any = JWTRoleMiddleware(plain, AUTH)({}, lambda *_: lambda _: None)

    assert list(body) == [b"a", b"b"]
    assert body.close() is None


@pytest.mark.parametrize(
    "token", [mint(), None, "nonsense"], ids=["good", "none", "bad"]
)
def test_the_context_is_restored(app: App, token: str | None) -> None:
    """Between the pieces and after the request whoever acted before acts."""
    before = Identity("member", {"sub": "before"})
    middleware = JWTRoleMiddleware(app, AUTH)

    with acting_as(before):
        for path in ("/", "/whole", "/broken"):
            environ: dict[str, Any] = {"PATH_INFO": path}
            setup_testing_defaults(environ)
            if token is not None:
                environ["HTTP_AUTHORIZATION"] = f"Bearer {token}"
            with contextlib.suppress(ConfigurationError):
                for _ in middleware(environ, lambda *_: lambda _: None):
                    assert current_identity() is before
            assert current_identity() is before

    assert acting() is UNSET
