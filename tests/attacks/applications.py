"""Applications that ask the database who is acting, behind each middleware."""

from __future__ import annotations

import asyncio
import base64
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy as sa
from django.db import connections
from django.db.backends.signals import connection_created
from django.http import HttpResponse
from django.test import RequestFactory
from sqlalchemy.ext.asyncio import create_async_engine

from django_jwtrole import conf
from django_jwtrole.middleware import JWTRoleMiddleware as DjangoMiddleware
from jwtrole import asgi, sync, wsgi
from jwtrole.tokens import Issuer, JWTRole
from sqlalchemy_jwtrole import attach
from tests import postgres
from tests.database.acting import AUDIENCE
from tests.django_project.aliases import forget, register

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from django.conf import LazySettings
    from django.http import HttpRequest

    from tests.database.acting import TrustedIssuer

__all__ = [
    "WHO",
    "Answer",
    "Web",
    "configured",
    "over_asgi",
    "over_django",
    "over_wsgi",
]

WHO = "SELECT jwtrole.subject()"

Answer = tuple[int, str, bytes]


def configured(issuer: TrustedIssuer, *others: Issuer, **settings: Any) -> JWTRole:
    """Return a configuration, and have the database trust exactly the same."""
    k = base64.urlsafe_b64encode(issuer.secret).rstrip(b"=").decode()
    jwk = {"kty": "oct", "alg": "HS256", "kid": "first", "k": k}
    trusted = Issuer(issuer.name, audience=AUDIENCE, jwks={"keys": [jwk]})
    roles = {"member": "member", "boss": "manager"}
    auth = JWTRole([trusted, *others], roles, trust="database", **settings)
    with issuer.owner.transaction():
        for statement in sync.statements(auth):
            text = statement.with_percent().encode()
            issuer.owner.execute(text, statement.parameters)
    return auth


class Web:
    """Be an application behind the middleware that asks the database who is acting.

    Args:
        get: Serves one request with a token.
        auth: What verifies it.
    """

    def __init__(self, get: Callable[[str], Answer], auth: JWTRole) -> None:
        self.get = get
        self.auth = auth
        #: How often a connection has been taken.
        self.taken = 0

    def take(self, *_: Any, **__: Any) -> None:
        """Count a connection that is taken."""
        self.taken += 1

    @property
    def remembered(self) -> int:
        """Return how many tokens are remembered."""
        return len(self.auth._cache._found)


@pytest.fixture
def over_wsgi(
    server: postgres.Server, sealed_database: str, auth: JWTRole
) -> Iterator[Web]:
    """Return it as a WSGI application with an SQLAlchemy engine."""
    url = server.url("psycopg", postgres.LOGIN, sealed_database)
    engine = attach(sa.create_engine(url), auth)

    def app(_environ: Any, start_response: Any) -> list[bytes]:
        with engine.connect() as conn:
            who = conn.scalar(sa.text(WHO))
        start_response("200 OK", [])
        return [str(who).encode()]

    guarded = wsgi.JWTRoleMiddleware(app, auth)

    def get(token: str) -> Answer:
        seen: list[Any] = []
        environ = {"HTTP_AUTHORIZATION": f"Bearer {token}"}
        body = b"".join(guarded(environ, lambda *given: seen.extend(given)))
        return int(seen[0][:3]), dict(seen[1]).get("www-authenticate", ""), body

    web = Web(get, auth)
    sa.event.listen(engine.pool, "checkout", web.take)
    yield web
    engine.dispose()


@pytest.fixture
def over_asgi(
    server: postgres.Server, sealed_database: str, auth: JWTRole
) -> Iterator[Web]:
    """Return it as an ASGI application with an asynchronous engine."""
    url = server.url("psycopg", postgres.LOGIN, sealed_database)
    engine = attach(create_async_engine(url), auth)

    async def app(_scope: Any, _receive: Any, send: Any) -> None:
        async with engine.connect() as conn:
            who = await conn.scalar(sa.text(WHO))
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": str(who).encode()})

    guarded = asgi.JWTRoleMiddleware(app, auth)

    async def serve(token: str) -> Answer:
        sent: list[Any] = []

        async def send(message: Any) -> None:
            sent.append(message)

        headers = [(b"authorization", f"Bearer {token}".encode("latin-1"))]
        scope = {"type": "http", "headers": headers}
        await guarded(scope, None, send)  # type: ignore[arg-type]
        challenge = dict(sent[0]["headers"]).get(b"www-authenticate", b"").decode()
        return sent[0]["status"], challenge, sent[1]["body"]

    with asyncio.Runner() as runner:
        web = Web(lambda token: runner.run(serve(token)), auth)
        sa.event.listen(engine.sync_engine.pool, "checkout", web.take)
        yield web
        runner.run(engine.dispose())


@pytest.fixture
def over_django(
    server: postgres.Server,
    sealed_database: str,
    issuer: TrustedIssuer,
    auth: JWTRole,
    settings: LazySettings,
) -> Iterator[Web]:
    """Return it as a view of Django's with its own connection."""
    shared = {"secret": issuer.secret, "algorithms": ["HS256"]}
    trusted = {"issuer": issuer.name, "audience": AUDIENCE, **shared}
    settings.JWTROLE = {
        **settings.JWTROLE, "ISSUERS": [trusted], "ROLES": ["member"],
    }  # fmt: skip
    alias = register(server, sealed_database, auth)

    def view(_request: HttpRequest) -> HttpResponse:
        with connections[alias].cursor() as cursor:
            cursor.execute(WHO)
            return HttpResponse(str(cursor.fetchone()[0]))

    guarded = DjangoMiddleware(view)
    requests = RequestFactory()

    def get(token: str) -> Answer:
        request = requests.get("/", headers={"authorization": f"Bearer {token}"})
        found: Any = guarded(request)
        return found.status_code, found.get("www-authenticate", ""), found.content

    web = Web(get, conf.auth())
    with ExitStack() as stack:
        stack.callback(forget, alias)
        connection_created.connect(web.take)
        stack.callback(connection_created.disconnect, web.take)
        yield web
