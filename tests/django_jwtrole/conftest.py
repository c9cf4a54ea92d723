"""The issuer of the tests is trusted; two tenants and their factories."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any

import pytest
from django.db import connections

from django_jwtrole.testing import AsyncClient, Client, trust_issuer
from jwtrole.testing import ThrowawayIssuer
from jwtrole.tokens import JWTRole
from tests import postgres
from tests.django_project.aliases import forget, migrate, register

if TYPE_CHECKING:
    from collections.abc import Iterator

    from jwtrole.identity import Identity

RED = uuid.UUID("00000000-0000-0000-0000-00000000000a")
BLUE = uuid.UUID("00000000-0000-0000-0000-00000000000b")
ALICE = uuid.UUID("00000000-0000-0000-0000-0000000000a1")


@pytest.fixture(autouse=True)
def trusted() -> Iterator[None]:
    """Trust the issuer whose tokens the tests mint."""
    with trust_issuer():
        yield


@pytest.fixture(scope="session")
def issuer() -> ThrowawayIssuer:
    """Return the issuer that the aliases of these tests trust."""
    return ThrowawayIssuer()


@pytest.fixture(scope="session")
def strict(issuer: ThrowawayIssuer) -> JWTRole:
    """Return a configuration without an anonymous role."""
    return JWTRole([issuer.issuer], list(postgres.ROLES), trust="application")


@pytest.fixture(scope="session")
def alice(issuer: ThrowawayIssuer, strict: JWTRole) -> Identity:
    """Return a member of the red tenant."""
    claims = {"sub": str(ALICE), "role": "member", "tenant_id": str(RED)}
    return issuer.identity(strict, **claims)


@pytest.fixture(scope="session")
def bob(issuer: ThrowawayIssuer, strict: JWTRole) -> Identity:
    """Return a manager of the blue tenant."""
    claims = {"sub": "bob", "role": "manager", "tenant_id": str(BLUE)}
    return issuer.identity(strict, **claims)


@pytest.fixture(scope="session")
def live(server: postgres.Server, worker: str) -> Iterator[str]:
    """Return a database with the project's tables, two red rows and a blue one."""
    name = f"live_{worker}"
    server.create_database(name, schema=False)
    migrate(server, name)
    with server.connect("postgres", name) as admin:
        for number, tenant in (("red-1", RED), ("red-2", RED), ("blue-1", BLUE)):
            admin.execute(
                "INSERT INTO invoice (id, number, tenant_id) "
                "VALUES (gen_random_uuid(), %s, %s)",
                (number, tenant),
            )
        admin.execute(
            "CREATE FUNCTION numbers() RETURNS SETOF text LANGUAGE sql "
            "AS 'SELECT number FROM invoice ORDER BY number'"
        )
    yield name
    server.drop_database(name)


@pytest.fixture
def alias(server: postgres.Server, live: str, strict: JWTRole) -> Iterator[str]:
    """Return an alias that logs in as the application, nobody being anonymous."""
    name = register(server, live, strict)
    # What is asked once for a process is not what its tests count.
    wrapper: Any = connections[name]
    wrapper.connect()
    wrapper._pass_gate()
    wrapper.close()
    yield name
    forget(name)


@pytest.fixture
def client() -> Client:
    """Return a client that may act as somebody."""
    return Client()


@pytest.fixture
def async_client() -> AsyncClient:
    """Return an asynchronous client that may act as somebody."""
    return AsyncClient()
