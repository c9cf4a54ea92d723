"""The same through the event loop: async engines and sessions, both async drivers."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy as sa
from sqlalchemy import orm
from sqlalchemy.exc import DBAPIError, ResourceClosedError
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker, create_async_engine

from jwtrole.context import acting_as
from jwtrole.errors import ConfigurationError, IdentityChanged, NoIdentity
from jwtrole.identity import Identity
from sqlalchemy_jwtrole import attach
from tests import postgres
from tests.sqlalchemy_jwtrole.conftest import ASYNC_DRIVERS, note, number

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncEngine

    from jwtrole.tokens import JWTRole

BODIES = sa.select(note.c.body).order_by(note.c.body)
RED_BODIES = ["red-1", "red-2"]
WHO = sa.text("SELECT current_user::text, jwtrole.subject()")

pytestmark = pytest.mark.asyncio


class Base(orm.DeclarativeBase):
    pass


class Note(Base):
    __table__ = note


async def test_connections_and_sessions_read_own_rows(
    async_engine: AsyncEngine, alice: Identity, bob: Identity
) -> None:
    """Every first operation of connections and sessions sees own rows alone."""
    async with acting_as(alice), async_engine.connect() as conn:
        assert (await conn.scalars(BODIES)).all() == RED_BODIES
    async with acting_as(alice), AsyncSession(async_engine) as session:
        found = (await session.scalars(sa.select(Note))).first()
        assert found is not None
        key = found.id
        await session.commit()
        await session.refresh(found)
    async with acting_as(bob):
        async with AsyncSession(async_engine) as session:
            assert await session.get(Note, key) is None
        async with AsyncSession(async_engine) as session:
            connection = await session.connection()
            assert (await connection.execute(WHO)).one() == ("member", "bob")
        async with AsyncSession(async_engine) as session:
            session.add_all([Note(body=f"blue-{n}") for n in (2, 3)])
            await session.flush()
            assert len((await session.scalars(BODIES)).all()) == 3


async def test_every_way_of_sending_is_protected(
    async_engine: AsyncEngine, alice: Identity
) -> None:
    """Batches, sequences, driver SQL and streams may each come first."""
    many = [{"body": f"red-{n}"} for n in range(3, 8)]
    with acting_as(alice):
        async with async_engine.begin() as conn:
            await conn.execute(note.insert().returning(note.c.id), many)
        async with async_engine.begin() as conn:
            changed = sa.update(note).where(note.c.body == sa.bindparam("old"))
            await conn.execute(
                changed.values(body=sa.bindparam("new")),
                [{"old": f"red-{n}", "new": f"red-{n}{n}"} for n in range(3, 8)],
            )
        async with async_engine.connect() as conn:
            assert isinstance(await conn.run_sync(lambda c: c.scalar(number)), int)
        async with async_engine.connect() as conn:
            found = await conn.exec_driver_sql("SELECT count(*) FROM note")
            assert found.scalar() == 7
        async with async_engine.connect() as conn:
            result = await conn.stream(BODIES)
            assert len([row async for row in result]) == 7
        async with AsyncSession(async_engine) as session:
            options = {"yield_per": 2}
            notes = await session.stream_scalars(BODIES, execution_options=options)
            assert len([row async for row in notes]) == 7


async def test_savepoints_keep_the_identity(
    async_engine: AsyncEngine, alice: Identity, bob: Identity
) -> None:
    """Rolled back first, failed, or ended by nobody: savepoints undo no identity."""
    async with async_engine.connect() as conn:
        with acting_as(alice):
            nested = await conn.begin_nested()
            await nested.rollback()
            assert (await conn.scalars(BODIES)).all() == RED_BODIES
            nested = await conn.begin_nested()
            for _ in range(2):
                with pytest.raises(DBAPIError):
                    await conn.exec_driver_sql("SELECT * FROM nowhere")
        await nested.rollback()
        with acting_as(bob), pytest.raises(IdentityChanged):
            await conn.execute(BODIES)
        with acting_as(alice):
            assert (await conn.scalars(BODIES)).all() == RED_BODIES


async def test_raw_transaction_control_keeps_the_protection(
    async_engine: AsyncEngine, alice: Identity
) -> None:
    """What SQL ended behind the driver's back is closed or protected anew."""
    with acting_as(alice):
        async with async_engine.connect() as conn:
            await conn.execute(WHO)
            await conn.exec_driver_sql("COMMIT AND CHAIN")
            assert (await conn.execute(WHO)).one() == ("member", "alice")
            await conn.exec_driver_sql("COMMIT")
            if conn.dialect.driver == "asyncpg":
                with pytest.raises(ConfigurationError, match="ended with SQL"):
                    await conn.execute(BODIES)
            else:
                assert (await conn.scalars(BODIES)).all() == RED_BODIES
            await conn.rollback()
            assert (await conn.scalars(BODIES)).all() == RED_BODIES


async def test_refusals_do_not_wear_off(
    async_engine: AsyncEngine, alice: Identity
) -> None:
    """Without anybody, in AUTOCOMMIT and in two phases nothing is ever sent."""
    async with async_engine.connect() as conn:
        for _ in range(2):
            with pytest.raises(NoIdentity):
                await conn.execute(BODIES)
    with acting_as(alice):
        async with async_engine.connect() as conn:
            await conn.execution_options(isolation_level="AUTOCOMMIT")
            for _ in range(2):
                with pytest.raises(ConfigurationError, match="AUTOCOMMIT"):
                    await conn.execute(BODIES)
        async with async_engine.connect() as conn:
            sync = conn.sync_connection
            assert sync is not None
            with pytest.raises(ConfigurationError, match="two-phase"):
                await conn.run_sync(lambda c: c.begin_twophase())
            with pytest.raises(ResourceClosedError):
                await conn.run_sync(lambda c: c.execute(BODIES))
        async with async_engine.connect() as conn:
            assert (await conn.scalars(BODIES)).all() == RED_BODIES


async def test_a_role_that_cannot_be_put_on_leaves_the_pool_usable(
    async_engine: AsyncEngine, alice: Identity
) -> None:
    """A missing role says what to run; then the transaction is over, not the pool."""
    async with async_engine.connect() as conn:
        with acting_as(Identity("nobody_knows_me", alice.claims)):
            with pytest.raises(ConfigurationError, match="jwtrole bootstrap"):
                await conn.execute(BODIES)
            with pytest.raises(DBAPIError, match="transaction is aborted"):
                await conn.execute(BODIES)
    with acting_as(alice):
        async with async_engine.connect() as conn:
            assert (await conn.scalars(BODIES)).all() == RED_BODIES


async def test_a_lost_connection_is_reported_as_ever(
    async_engine: AsyncEngine, alice: Identity, server: postgres.Server
) -> None:
    """The preamble's loss of the connection is SQLAlchemy's error, without claims."""
    with acting_as(alice):
        async with async_engine.connect() as conn:
            pid = await conn.scalar(sa.text("SELECT pg_backend_pid()"))
            await conn.rollback()
            with server.connect("postgres", "postgres") as admin:
                admin.execute("SELECT pg_terminate_backend(%s, 5000)", [pid])
            with pytest.raises(DBAPIError) as lost:
                await conn.execute(BODIES)
            assert lost.value.connection_invalidated
            assert "alice" not in str(lost.value)
            await conn.rollback()
            assert (await conn.scalars(BODIES)).all() == RED_BODIES


async def test_tasks_do_not_mix(
    async_engine: AsyncEngine, alice: Identity, bob: Identity
) -> None:
    """Tasks that share the one connection in turn each see their own rows."""

    async def read(who: Identity) -> list[str]:
        with acting_as(who):
            async with AsyncSession(async_engine) as session:
                found = list((await session.scalars(BODIES)).all())
                await session.commit()
                return found + list((await session.scalars(BODIES)).all())

    crowd = [alice, bob] * 10
    found = await asyncio.gather(*map(read, crowd))

    expected = [RED_BODIES if who is alice else ["blue-1"] for who in crowd]
    assert [bodies * 2 for bodies in expected] == found


async def test_a_task_cancelled_while_beginning_leaves_the_pool_usable(
    async_engine: AsyncEngine, alice: Identity, bob: Identity, server: postgres.Server
) -> None:
    """Cancelled while an identity is put on, a task leaves a clean pool."""

    async def read(who: Identity) -> Any:
        with acting_as(who):
            async with async_engine.connect() as conn:
                return (await conn.execute(WHO)).one()

    async with async_engine.connect():
        pass
    waiting = (
        "SELECT count(*) FROM pg_locks WHERE NOT granted "
        "AND relation = 'pg_authid'::regclass"
    )
    with server.connect("postgres", "postgres") as admin, admin.transaction():
        # Looking the role up waits for this.
        admin.execute("LOCK TABLE pg_catalog.pg_authid IN ACCESS EXCLUSIVE MODE")
        task = asyncio.create_task(read(alice))
        async with asyncio.timeout(10):
            while admin.execute(waiting).fetchone() == (0,):  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    assert await read(bob) == ("member", "bob")


@pytest.mark.parametrize("driver", ASYNC_DRIVERS)
async def test_async_sessionmakers_are_attached(
    server: postgres.Server,
    database: str,
    rows: None,
    auth: JWTRole,
    alice: Identity,
    driver: str,
) -> None:
    """An async sessionmaker is attached by its bind, of which children are one."""
    engine = create_async_engine(server.url(driver, postgres.LOGIN, database))
    child = engine.execution_options(logging_token="child")
    maker = async_sessionmaker(child)

    assert attach(maker, auth) is maker
    async with maker() as session, engine.connect() as conn:
        for target in (session, conn):
            with pytest.raises(NoIdentity):
                await target.execute(BODIES)
            with acting_as(alice):
                assert (await target.execute(WHO)).one() == ("member", "alice")
    await engine.dispose()
