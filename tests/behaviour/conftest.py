"""Each adapter opens a database of its own; the specification runs against them all."""

from __future__ import annotations

import importlib
import uuid
from typing import TYPE_CHECKING, NamedTuple

import pytest

from jwtrole import Identity, JWTRole
from jwtrole.testing import ThrowawayIssuer
from tests import postgres, trusting

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.behaviour.adapter import Adapter

_SQLALCHEMY = "tests.behaviour.sqlalchemy_adapter"
_DJANGO = "tests.behaviour.django_adapter"

# The four adapters, SQLAlchemy's with each driver they have.
APPLICATION = {
    "sqlalchemy-psycopg": (_SQLALCHEMY, "SQLAlchemyAdapter", "psycopg"),
    "sqlalchemy-psycopg2": (_SQLALCHEMY, "SQLAlchemyAdapter", "psycopg2"),
    "sqlalchemy-async-psycopg": (_SQLALCHEMY, "SQLAlchemyAsyncAdapter", "psycopg"),
    "sqlalchemy-async-asyncpg": (_SQLALCHEMY, "SQLAlchemyAsyncAdapter", "asyncpg"),
    "django": (_DJANGO, "DjangoAdapter", None),
    "django-async": (_DJANGO, "DjangoAsyncAdapter", None),
}
# The same where the database verifies the tokens.
DATABASE = {f"{name}-database": found for name, found in APPLICATION.items()}
ADAPTERS = APPLICATION | DATABASE


class People(NamedTuple):
    """Be the identities of the specification, two tenants and two roles."""

    alice: Identity
    bob: Identity
    boss: Identity


@pytest.fixture(scope="session")
def issuer() -> ThrowawayIssuer:
    """Return the issuer everybody trusts here."""
    return ThrowawayIssuer()


def make_auth(issuer: ThrowawayIssuer, which: str, anonymous: str | None) -> JWTRole:
    """Return the configuration of an adapter."""
    return JWTRole(
        issuers=[issuer.issuer],
        roles=list(postgres.ROLES),
        anonymous=anonymous,
        trust="database" if which in DATABASE else "application",
    )


@pytest.fixture(scope="session")
def auth(issuer: ThrowawayIssuer) -> JWTRole:
    """Return what verifies everybody's tokens."""
    return make_auth(issuer, "", postgres.ANONYMOUS)


@pytest.fixture(scope="session")
def red() -> uuid.UUID:
    """Return Alice's and the boss's tenant."""
    return uuid.uuid4()


@pytest.fixture(scope="session")
def blue() -> uuid.UUID:
    """Return Bob's tenant."""
    return uuid.uuid4()


@pytest.fixture(scope="session")
def people(
    issuer: ThrowawayIssuer, auth: JWTRole, red: uuid.UUID, blue: uuid.UUID
) -> People:
    """Return everybody, each verified from a token of theirs."""
    return People(
        alice=issuer.identity(auth, sub="alice", role="member", tenant_id=str(red)),
        bob=issuer.identity(auth, sub="bob", role="member", tenant_id=str(blue)),
        boss=issuer.identity(auth, sub="boss", role="manager", tenant_id=str(red)),
    )


def _open(
    server: postgres.Server,
    worker: str,
    which: str,
    issuer: ThrowawayIssuer,
    anonymous: str | None,
) -> Iterator[Adapter]:
    auth = make_auth(issuer, which, anonymous)
    module, name, driver = ADAPTERS[which]
    database = f"behaviour_{worker}_{uuid.uuid4().hex[:8]}"
    server.create_database(database, schema=False)
    kind = getattr(importlib.import_module(module), name)
    extra = (driver,) if driver else ()
    adapter = kind(server, database, auth, *extra)
    if which in DATABASE:
        trusting.upgrade(server, database)
        trusting.trust(server, database, issuer, anonymous=anonymous)
    try:
        yield adapter
    finally:
        adapter.close()
        server.drop_database(database)


@pytest.fixture(scope="session", params=sorted(ADAPTERS))
def adapter(
    request: pytest.FixtureRequest,
    server: postgres.Server,
    worker: str,
    issuer: ThrowawayIssuer,
) -> Iterator[Adapter]:
    """Return one adapter after the other, with an anonymous role configured."""
    yield from _open(server, worker, request.param, issuer, postgres.ANONYMOUS)


@pytest.fixture(scope="session", params=sorted(ADAPTERS))
def strict_adapter(
    request: pytest.FixtureRequest,
    server: postgres.Server,
    worker: str,
    issuer: ThrowawayIssuer,
) -> Iterator[Adapter]:
    """Return one adapter after the other, without an anonymous role."""
    yield from _open(server, worker, request.param, issuer, None)


@pytest.fixture
def filled(adapter: Adapter, people: People) -> Iterator[Adapter]:
    """Return an adapter whose table holds two red rows and one blue one."""
    adapter.add(people.alice, "red-1")
    adapter.add(people.alice, "red-2")
    adapter.add(people.bob, "blue-1")
    yield adapter
    for who in (people.alice, people.bob):
        for number in adapter.numbers(who):
            adapter.remove(who, number)
