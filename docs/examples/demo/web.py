"""The Django application behind a real HTTP server, and tokens to try it with."""

from __future__ import annotations

import base64
import json
import threading
import time
import urllib.error
import urllib.request
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from wsgiref.simple_server import WSGIRequestHandler, make_server

from people import TENANTS

from jwtrole.testing import ThrowawayIssuer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from people import Person


@dataclass(frozen=True)
class Answer:
    """Be what came back.

    Args:
        status: The HTTP status.
        challenge: The header ``WWW-Authenticate``.
        body: The body.
    """

    status: int
    challenge: str
    body: str


class _Quiet(WSGIRequestHandler):
    def log_message(self, *args: Any) -> None:
        """Keep the terminal for the tables."""


@contextmanager
def serving() -> Iterator[Callable[[str | None], Answer]]:
    """Serve the application; ask it with a token, or with none."""
    from django.core.wsgi import get_wsgi_application  # noqa: PLC0415

    application = get_wsgi_application()
    with make_server("127.0.0.1", 0, application, handler_class=_Quiet) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield lambda token: _ask(f"http://localhost:{server.server_port}", token)
        server.shutdown()
        thread.join()


def _ask(address: str, token: str | None) -> Answer:
    request = urllib.request.Request(f"{address}/invoices/")
    if token is not None:
        request.add_header("Authorization", f"Bearer {token}")
    try:
        response = urllib.request.urlopen(request, timeout=10)
    except urllib.error.HTTPError as error:
        response = error
    with response:
        return Answer(
            response.status,
            response.headers.get("WWW-Authenticate", ""),
            response.read().decode(),
        )


def attempts(person: Person) -> Iterator[tuple[str, str | None, int]]:
    """Yield what is tried, the token, and the status it must be answered with."""
    stranger = ThrowawayIssuer("https://id.example.com/", "shop", algorithm="RS256")
    other = str(TENANTS[person.other])
    yield "valid", person.token, 200
    yield "tenant changed, signature kept", _with(person.token, tenant_id=other), 401
    yield (
        "signed by somebody else",
        stranger.mint(sub=person.name, role=person.role, tenant_id=other),
        401,
    )
    yield 'unsigned, "alg": "none"', _unsigned(person.token), 401
    yield "expired an hour ago", person.mint(exp=int(time.time()) - 3600), 401
    yield "for another application", person.mint(aud="warehouse"), 401
    yield "with a role of its own choice", person.mint(role="shop_owner"), 403
    yield "none at all", None, 401


def _with(token: str, **claims: str) -> str:
    header, payload, signature = token.split(".")
    changed = {**_read(payload), **claims}
    return f"{header}.{_written(changed)}.{signature}"


def _unsigned(token: str) -> str:
    payload = token.split(".")[1]
    return f"{_written({'alg': 'none', 'typ': 'JWT'})}.{payload}."


def _read(part: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(base64.urlsafe_b64decode(part + "=="))
    return found


def _written(part: dict[str, Any]) -> str:
    data = json.dumps(part, separators=(",", ":")).encode()
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
