"""Identities, a protected table, and attached engines of every driver."""

from __future__ import annotations

import contextlib
import uuid
from typing import TYPE_CHECKING, Any

import pytest
import pytest_asyncio
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import create_async_engine

from jwtrole import policy, roles
from jwtrole.context import acting_as
from jwtrole.testing import ThrowawayIssuer
from jwtrole.tokens import JWTRole
from sqlalchemy_jwtrole import attach
from tests import postgres

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sqlalchemy.ext.asyncio import AsyncEngine

    from jwtrole.identity import Identity

RED = uuid.UUID("00000000-0000-0000-0000-00000000000a")
BLUE = uuid.UUID("00000000-0000-0000-0000-00000000000b")

DRIVERS = ("psycopg", "psycopg2")
ASYNC_DRIVERS = ("psycopg", "asyncpg")

metadata = sa.MetaData()
note = sa.Table(
    "note",
    metadata,
    sa.Column("id", sa.Integer, sa.Identity(), primary_key=True),
    sa.Column("tenant_id", sa.Uuid, server_default=sa.FetchedValue()),
    sa.Column("body", sa.Text),
)
number = sa.Sequence("note_number", metadata=metadata)


@pytest.fixture(scope="session")
def issuer() -> ThrowawayIssuer:
    """Return the issuer everybody trusts here."""
    return ThrowawayIssuer()


@pytest.fixture(scope="session")
def auth(issuer: ThrowawayIssuer) -> JWTRole:
    """Return a configuration without an anonymous role."""
    return JWTRole([issuer.issuer], list(postgres.ROLES), trust="application")


@pytest.fixture(scope="session")
def alice(auth: JWTRole, issuer: ThrowawayIssuer) -> Identity:
    """Return a member of the red tenant."""
    return issuer.identity(auth, sub="alice", role="member", tenant_id=str(RED))


@pytest.fixture(scope="session")
def bob(auth: JWTRole, issuer: ThrowawayIssuer) -> Identity:
    """Return a member of the blue tenant."""
    return issuer.identity(auth, sub="bob", role="member", tenant_id=str(BLUE))


@pytest.fixture(scope="session")
def notes(server: postgres.Server, database: str) -> None:
    """Make a protected table without any help of the package under test."""
    make_notes(server, database)


def make_notes(server: postgres.Server, database: str) -> None:
    """Make the protected table in a database."""
    tenant = f"tenant_id = {policy.claim_expression('tenant_id', 'uuid')}"
    default = policy.claim_default("tenant_id", "uuid")
    create = (
        "CREATE TABLE note (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, "
        f"tenant_id uuid NOT NULL DEFAULT {default}, body text UNIQUE)"
    )
    statements = [
        "CREATE SEQUENCE note_number",
        "GRANT USAGE ON SEQUENCE note_number TO member",
        create,
        *policy.enable_row_security("note"),
        *policy.Policy(
            name="note_tenant", table="note", to=("member",), using=tenant
        ).create(),
        *roles.Grant(
            table="note", role="member", on=("SELECT", "INSERT", "UPDATE", "DELETE")
        ).grant(),
    ]
    with server.connect(postgres.OWNER, database) as owner:
        for statement in statements:
            owner.execute(statement)


@pytest.fixture
def rows(
    notes: None,
    server: postgres.Server,
    database: str,
    auth: JWTRole,
    alice: Identity,
    bob: Identity,
) -> Iterator[None]:
    """Fill the table with two red rows and one blue one, and empty it afterwards."""
    engine = attach(
        sa.create_engine(server.url("psycopg", postgres.LOGIN, database)),
        auth,
    )
    for who, bodies in ((alice, ("red-1", "red-2")), (bob, ("blue-1",))):
        with acting_as(who), engine.begin() as conn:
            conn.execute(note.insert(), [{"body": body} for body in bodies])
    yield
    for who in (alice, bob):
        with acting_as(who), engine.begin() as conn:
            conn.execute(note.delete())
    engine.dispose()


def bare_engine(
    server: postgres.Server, database: str, driver: str, **options: Any
) -> sa.Engine:
    """Return an engine of the login role with one connection and no hook."""
    url = server.url(driver, postgres.LOGIN, database)
    return sa.create_engine(url, pool_size=1, max_overflow=0, **options)


@pytest.fixture(params=DRIVERS)
def make(
    request: pytest.FixtureRequest,
    server: postgres.Server,
    database: str,
    auth: JWTRole,
) -> Iterator[Callable[..., sa.Engine]]:
    """Return what makes an attached engine of one driver after the other."""
    with contextlib.ExitStack() as stack:

        def make(**options: Any) -> sa.Engine:
            engine = bare_engine(server, database, request.param, **options)
            stack.callback(engine.dispose)
            return attach(engine, auth)

        yield make


@pytest.fixture
def engine(make: Callable[..., sa.Engine], rows: None) -> sa.Engine:
    """Return an attached engine with one connection, of one driver after the other."""
    return make()


@pytest_asyncio.fixture(params=ASYNC_DRIVERS)
async def async_engine(
    request: pytest.FixtureRequest,
    server: postgres.Server,
    database: str,
    auth: JWTRole,
    rows: None,
) -> Any:
    """Return an attached async engine with one connection, driver after driver."""
    url = server.url(request.param, postgres.LOGIN, database)
    engine: AsyncEngine = attach(
        create_async_engine(url, pool_size=1, max_overflow=0), auth
    )
    yield engine
    await engine.dispose()
