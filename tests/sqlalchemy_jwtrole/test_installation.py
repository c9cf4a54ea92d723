"""The schema and what it trusts, from Python and without migrations."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING

import pytest
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import create_async_engine

from jwtrole import Issuer, JWTRole, install
from jwtrole.context import acting_as
from jwtrole.errors import ConfigurationError, TrustWarning
from sqlalchemy_jwtrole import attach, sync
from sqlalchemy_jwtrole import install as install_jwtrole
from tests import postgres
from tests.sqlalchemy_jwtrole.conftest import RED, make_notes

if TYPE_CHECKING:
    from collections.abc import Iterator

    from jwtrole.testing import ThrowawayIssuer

CLAIMS = sa.text("SELECT jwtrole.claim('sub')")
VERSION = sa.text("SELECT jwtrole.version()")


@pytest.fixture
def verified(issuer: ThrowawayIssuer) -> JWTRole:
    """Return a configuration that has the database verify tokens."""
    return JWTRole([issuer.issuer], list(postgres.ROLES), anonymous="anon")


@pytest.fixture
def empty(server: postgres.Server, worker: str) -> Iterator[str]:
    """Return a database of its own, without the schema ``jwtrole``."""
    name = f"installation_{worker}_{uuid.uuid4().hex[:8]}"
    server.create_database(name, schema=False)
    yield name
    server.drop_database(name)


@pytest.fixture(params=["psycopg", "psycopg2"])
def owner(
    request: pytest.FixtureRequest, server: postgres.Server, empty: str
) -> Iterator[sa.Engine]:
    """Return the owner's engine, of one driver after the other."""
    engine = sa.create_engine(server.url(request.param, postgres.OWNER, empty))
    yield engine
    engine.dispose()


def subject(
    server: postgres.Server, database: str, auth: JWTRole, issuer: ThrowawayIssuer
) -> object:
    """Return who the database says is acting, when Alice is."""
    engine = attach(
        sa.create_engine(server.url("psycopg", postgres.LOGIN, database)), auth
    )
    alice = issuer.identity(auth, sub="alice", role="member", tenant_id=str(RED))
    try:
        with acting_as(alice), engine.connect() as conn:
            return conn.scalar(CLAIMS)
    finally:
        engine.dispose()


def generation(owner: sa.Engine) -> object:
    """Return what changes whenever the database trusts something else."""
    with owner.connect() as conn:
        return conn.scalar(sa.text("SELECT generation FROM jwtrole.issuer"))


def test_one_call_makes_a_database_verify(
    server: postgres.Server,
    empty: str,
    owner: sa.Engine,
    verified: JWTRole,
    issuer: ThrowawayIssuer,
) -> None:
    """Schema, the login's right and whom to trust; told twice, nothing changes."""
    install_jwtrole(owner, verified, login=postgres.LOGIN)
    before = generation(owner)
    install_jwtrole(owner, verified, login=postgres.LOGIN)

    assert generation(owner) == before
    assert subject(server, empty, verified, issuer) == "alice"


@pytest.mark.parametrize("version", [1, 2])
def test_what_is_there_becomes_the_newest(
    server: postgres.Server,
    empty: str,
    owner: sa.Engine,
    verified: JWTRole,
    issuer: ThrowawayIssuer,
    version: int,
) -> None:
    """The other mode and an older version are changed, policies in place."""
    with server.connect(postgres.OWNER, empty) as conn, conn.transaction():
        for statement in install.release(version).up():
            conn.execute(statement.encode())
    make_notes(server, empty)
    install_jwtrole(owner, verified, login=postgres.LOGIN)

    assert subject(server, empty, verified, issuer) == "alice"


def test_a_connections_transaction_stays_its_owners(
    owner: sa.Engine, verified: JWTRole
) -> None:
    """Given a connection nothing is committed, so that it can be undone."""
    with owner.connect() as conn:
        install_jwtrole(conn, verified, login=postgres.LOGIN)
        assert conn.scalar(VERSION) == install.LATEST
        conn.rollback()
        with pytest.raises(sa.exc.DBAPIError):
            conn.scalar(VERSION)


def test_new_issuers_are_pushed(
    server: postgres.Server,
    empty: str,
    owner: sa.Engine,
    verified: JWTRole,
    issuer: ThrowawayIssuer,
) -> None:
    """Another configuration is refused at the gate until it has been pushed."""
    install_jwtrole(owner, verified, login=postgres.LOGIN)
    other = Issuer(
        "https://percent.test/100%25:x",
        audience=["a:b", "100%"],
        secret="a secret that is long enough: 100%",
        algorithms=["HS256"],
    )
    both = JWTRole(
        [issuer.issuer, other], {"Staff: 100%": "member", "member": "member"}
    )
    with pytest.raises(ConfigurationError, match="issuers sync"):
        subject(server, empty, both, issuer)

    sync(owner, both)
    assert subject(server, empty, both, issuer) == "alice"
    sync(owner, verified)
    with pytest.raises(ConfigurationError, match="percent"):
        subject(server, empty, both, issuer)


def test_the_application_mode_is_installed_by_name(
    server: postgres.Server, empty: str, owner: sa.Engine, issuer: ThrowawayIssuer
) -> None:
    """It warns of what injected SQL can do where an engine is attached to it."""
    auth = JWTRole([issuer.issuer], list(postgres.ROLES), trust="application")
    install_jwtrole(owner, auth, login=postgres.LOGIN)

    with pytest.warns(TrustWarning, match="injects SQL can become any tenant"):
        assert subject(server, empty, auth, issuer) == "alice"


def test_a_missing_login_names_the_bootstrap(
    owner: sa.Engine, verified: JWTRole
) -> None:
    """A login that nobody made is an error before anything is done."""
    with pytest.raises(ConfigurationError, match=r"'ghost' do not exist.*bootstrap"):
        install_jwtrole(owner, verified, login="ghost")
    with owner.connect() as conn, pytest.raises(sa.exc.DBAPIError):
        conn.scalar(VERSION)


def test_create_all_alone_lets_nobody_in(
    server: postgres.Server, empty: str, owner: sa.Engine, verified: JWTRole,
    issuer: ThrowawayIssuer,
) -> None:  # fmt: skip
    """Tables bring the schema along; whom it is for is said by who installs it."""
    with owner.begin() as conn:
        for statement in install.release().up():
            conn.exec_driver_sql(statement, execution_options={"no_parameters": True})
    with pytest.raises(ConfigurationError, match="may not ask the database"):
        subject(server, empty, verified, issuer)


@pytest.mark.asyncio
@pytest.mark.parametrize("driver", ["psycopg", "asyncpg"])
async def test_async_engines_run_it_too(
    server: postgres.Server,
    empty: str,
    verified: JWTRole,
    issuer: ThrowawayIssuer,
    driver: str,
) -> None:
    """With run_sync both calls work on asynchronous drivers."""
    engine = create_async_engine(server.url(driver, postgres.OWNER, empty))
    async with engine.begin() as conn:
        await conn.run_sync(install_jwtrole, verified, login=postgres.LOGIN)
        await conn.run_sync(sync, verified)
    await engine.dispose()

    assert subject(server, empty, verified, issuer) == "alice"
