"""Tests of users: fixtures and requests in one transaction that is rolled back."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import pytest
import sqlalchemy as sa
from sqlalchemy import orm
from sqlalchemy.exc import ProgrammingError
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine
from sqlalchemy.orm import Mapped, mapped_column

from jwtrole.context import acting_as
from jwtrole.errors import ConfigurationError
from sqlalchemy_jwtrole import attach, testing
from sqlalchemy_jwtrole.models import TenantMixin
from tests import postgres
from tests.sqlalchemy_jwtrole.conftest import ASYNC_DRIVERS, BLUE, DRIVERS, RED

if TYPE_CHECKING:
    from collections.abc import Iterator

    from jwtrole.identity import Identity
    from jwtrole.tokens import JWTRole


class Base(orm.DeclarativeBase):
    __jwtrole_to__ = ("member",)


class Order(TenantMixin, Base):
    __tablename__ = "test_order"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]


class Plain(Base):
    __tablename__ = "test_plain"

    id: Mapped[int] = mapped_column(primary_key=True)


NAMES = sa.select(Order.name).order_by(Order.name)
WHO = sa.text("SELECT current_user::text")


@pytest.fixture(scope="module")
def tables(server: postgres.Server, database: str) -> None:
    """Make the tables as the owner would."""
    owner = sa.create_engine(server.url("psycopg", postgres.OWNER, database))
    Base.metadata.create_all(owner)
    owner.dispose()


@pytest.fixture(params=DRIVERS)
def connection(
    request: pytest.FixtureRequest,
    server: postgres.Server,
    database: str,
    auth: JWTRole,
    tables: None,
) -> Iterator[sa.Connection]:
    """Return a connection of the test role in a transaction that is rolled back."""
    url = server.url(request.param, postgres.TEST, database)
    engine = testing.attach(sa.create_engine(url), auth, owner=postgres.OWNER)
    with engine.connect() as conn, conn.begin() as transaction:
        yield conn
        transaction.rollback()
    engine.dispose()


@pytest.fixture
def session(connection: sa.Connection) -> Iterator[orm.Session]:
    """Return SQLAlchemy's session for test suites: its commits are savepoints."""
    with orm.Session(
        bind=connection, join_transaction_mode="create_savepoint"
    ) as session:
        yield session


def test_outside_of_requests_the_owner_acts(session: orm.Session) -> None:
    """Statements that stand outside any request run as the owner."""
    assert session.execute(WHO).scalar_one() == postgres.OWNER


def test_identities_share_a_transaction(
    session: orm.Session, alice: Identity, bob: Identity
) -> None:
    """Requests of several people follow each other and each sees its own rows."""
    for who, name in ((alice, "red"), (bob, "blue")):
        with acting_as(who):
            session.add(Order(name=name))
            session.commit()
    with acting_as(alice):
        assert session.scalars(NAMES).all() == ["red"]
    with acting_as(bob):
        assert session.scalars(NAMES).all() == ["blue"]
        assert session.execute(WHO).scalar_one() == "member"
    assert session.execute(WHO).scalar_one() == postgres.OWNER


def test_rollbacks_that_undo_an_identity(
    session: orm.Session, alice: Identity, bob: Identity
) -> None:
    """After a rollback that undid who acts, the right one is put on again."""
    with acting_as(alice):
        session.add(Order(name="kept"))
        session.commit()
    with acting_as(bob):
        with contextlib.suppress(ProgrammingError), session.begin_nested():
            session.execute(sa.text("SELECT * FROM nowhere"))
        assert session.scalars(NAMES).all() == []
        session.rollback()
        assert session.execute(WHO).scalar_one() == "member"
    session.rollback()
    assert session.execute(WHO).scalar_one() == postgres.OWNER
    with acting_as(alice):
        assert session.scalars(NAMES).all() == ["kept"]


def test_nothing_stays(session: orm.Session, alice: Identity) -> None:
    """What earlier tests committed is gone with their outer transaction."""
    with acting_as(alice):
        assert session.scalars(NAMES).all() == []


def test_tables_stay_forced_unless_told(
    session: orm.Session, connection: sa.Connection, alice: Identity
) -> None:
    """The owner writes no tenant's rows, until the force is taken off."""
    with pytest.raises(ProgrammingError, match="row-level security"):
        session.execute(sa.insert(Order), {"name": "x", "tenant_id": RED})
    session.rollback()
    testing.unforce(connection, Base.metadata)
    rows = [{"name": "red", "tenant_id": RED}, {"name": "blue", "tenant_id": BLUE}]
    session.execute(sa.insert(Order), rows)
    assert session.scalars(NAMES).all() == ["blue", "red"]
    with acting_as(alice):
        assert session.scalars(NAMES).all() == ["red"]


def test_an_engine_is_attached_one_way_alone(
    connection: sa.Connection, auth: JWTRole
) -> None:
    """What tests attach cannot be attached for production as well."""
    with pytest.raises(ConfigurationError, match="attached already"):
        attach(connection.engine, auth)


@pytest.mark.asyncio
@pytest.mark.parametrize("driver", ASYNC_DRIVERS)
async def test_async_sessions_share_a_transaction(
    server: postgres.Server,
    database: str,
    auth: JWTRole,
    tables: None,
    alice: Identity,
    bob: Identity,
    driver: str,
) -> None:
    """The same recipe works with async engines."""
    url = server.url(driver, postgres.TEST, database)
    engine = testing.attach(create_async_engine(url), auth, owner=postgres.OWNER)
    async with engine.connect() as conn:
        await conn.begin()
        async with AsyncSession(
            bind=conn, join_transaction_mode="create_savepoint"
        ) as session:
            for who in (alice, bob):
                async with acting_as(who):
                    session.add(Order(name=str(who.subject)))
                    await session.commit()
            async with acting_as(alice):
                assert (await session.scalars(NAMES)).all() == ["alice"]
            assert (await session.execute(WHO)).scalar_one() == postgres.OWNER
        await conn.rollback()
    await engine.dispose()
