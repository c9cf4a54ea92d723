"""SQLAlchemy, sync and async, in the terms of the behaviour specification."""
# ruff: noqa: D102  the protocol documents what each method does

from __future__ import annotations

import asyncio
import contextlib
import functools
import uuid
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from sqlalchemy import orm
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine
from sqlalchemy.orm import Mapped, mapped_column

from jwtrole.context import acting_as
from jwtrole.drivers.probe import sqlstate
from jwtrole.install import latest
from sqlalchemy_jwtrole import attach, create
from sqlalchemy_jwtrole.models import TenantMixin
from tests import postgres
from tests.behaviour.adapter import Outside

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator, Sequence
    from contextlib import AbstractContextManager
    from uuid import UUID

    from jwtrole.identity import Identity
    from jwtrole.tokens import JWTRole

    Who = Identity | None | Outside


class Base(orm.DeclarativeBase):
    __jwtrole_to__ = postgres.ROLES


class Invoice(TenantMixin, Base):
    __tablename__ = "invoice"

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True, default=uuid.uuid4)
    number: Mapped[str] = mapped_column(sa.Text)


NUMBERS = sa.select(Invoice.number).order_by(Invoice.number)


def _acting(who: Who) -> AbstractContextManager[Any]:
    if isinstance(who, Outside):
        return contextlib.nullcontext()
    return acting_as(who)


def _invoice(number: str, tenant: UUID | None) -> Invoice:
    invoice = Invoice(number=number)
    if tenant is not None:
        invoice.tenant_id = tenant
    return invoice


def _rename(old: str, new: str) -> sa.Update:
    return sa.update(Invoice).where(Invoice.number == old).values(number=new)


def _remove(number: str) -> sa.Delete:
    return sa.delete(Invoice).where(Invoice.number == number)


class _Tables:
    """Make the table the specification is about."""

    @staticmethod
    def make_tables(server: postgres.Server, database: str) -> None:
        owner = sa.create_engine(server.url("psycopg", postgres.OWNER, database))
        # The other mode is changed into, with the policies in place.
        with owner.begin() as conn:
            create.execute(conn, latest("application").up())
        Base.metadata.create_all(owner)
        owner.dispose()


def _sqlstate(error: BaseException) -> str | None:
    found = error.orig if isinstance(error, DBAPIError) else error
    return sqlstate(found) if found is not None else None


class SQLAlchemyAdapter(_Tables):
    """Sessions and connections of one engine with one pooled connection."""

    def __init__(
        self,
        server: postgres.Server,
        database: str,
        auth: JWTRole,
        driver: str,
        **given: Any,
    ) -> None:
        self.name = f"sqlalchemy-{driver}"
        self.auth = auth
        make = functools.partial(
            sa.create_engine,
            server.url(driver, postgres.LOGIN, database),
            connect_args=given,
        )
        self._engine = attach(make(pool_size=1, max_overflow=0), auth)
        self._many = attach(make(pool_size=4), auth)

    @contextlib.contextmanager
    def _session(self, who: Who) -> Iterator[orm.Session]:
        with _acting(who), orm.Session(self._engine) as session:
            yield session

    @contextlib.contextmanager
    def _connection(self, who: Who) -> Iterator[sa.Connection]:
        with _acting(who), self._engine.connect() as conn:
            yield conn

    def numbers(self, who: Who) -> list[str]:
        with self._session(who) as session:
            return [found.number for found in session.scalars(_invoices())]

    def add(self, who: Who, number: str, tenant: UUID | None = None) -> None:
        with self._session(who) as session, session.begin():
            session.add(_invoice(number, tenant))

    def rename(self, who: Who, old: str, new: str) -> int:
        with self._session(who) as session, session.begin():
            return _matched(session.execute(_rename(old, new)))

    def remove(self, who: Who, number: str) -> int:
        with self._session(who) as session, session.begin():
            return _matched(session.execute(_remove(number)))

    def sql(self, who: Who, *statements: str) -> list[tuple[Any, ...]]:
        with self._connection(who) as conn:
            rows = [_rows(conn.exec_driver_sql(sql)) for sql in statements]
            conn.commit()
            return rows[-1]

    def sql_rolled_back(self, who: Who, *statements: str) -> list[tuple[Any, ...]]:
        with self._connection(who) as conn:
            rows = [_rows(conn.exec_driver_sql(sql)) for sql in statements]
            conn.rollback()
            return rows[-1]

    def savepoint_rolled_back(self, who: Who) -> list[str]:
        with self._session(who) as session:
            session.scalars(NUMBERS).all()
            with contextlib.suppress(DBAPIError), session.begin_nested():
                session.execute(sa.text("SELECT * FROM nowhere"))
            return list(session.scalars(NUMBERS))

    def savepoint_first(self, who: Who) -> list[str]:
        with self._session(who) as session:
            nested = session.begin_nested()
            session.scalars(NUMBERS).all()
            nested.rollback()
            return list(session.scalars(NUMBERS))

    def after_error(self, who: Who) -> list[str]:
        with self._connection(who) as conn:
            with contextlib.suppress(DBAPIError):
                conn.exec_driver_sql("SELECT * FROM nowhere")
            conn.rollback()
            return list(conn.scalars(NUMBERS))

    def after_commit(self, who: Who) -> list[str]:
        with self._session(who) as session:
            session.scalars(NUMBERS).all()
            session.commit()
            return list(session.scalars(NUMBERS))

    def stream(self, who: Who) -> list[str]:
        with self._connection(who) as conn:
            streaming = conn.execution_options(stream_results=True, max_row_buffer=1)
            with streaming.execute(NUMBERS) as result:
                return sorted(result.scalars())

    def change_inside(self, first: Identity, second: Identity) -> list[str]:
        with orm.Session(self._engine) as session:
            with acting_as(first):
                session.scalars(NUMBERS).all()
            with acting_as(second):
                return list(session.scalars(NUMBERS))

    def alternate(self, whos: Sequence[Identity]) -> list[list[str]]:
        return [self.numbers(who) for who in whos]

    def concurrently(self, whos: Sequence[Identity]) -> list[list[str]]:
        def read(who: Identity) -> list[str]:
            with acting_as(who), orm.Session(self._many) as session:
                return list(session.scalars(NUMBERS))

        with ThreadPoolExecutor(8) as threads:
            return list(threads.map(read, whos))

    def unhooked(self, statement: str) -> list[tuple[Any, ...]]:
        # The very connection that identities were put on.
        raw = self._engine.raw_connection()
        try:
            cursor = raw.cursor()
            cursor.execute(statement)
            return [tuple(row) for row in cursor.fetchall()]
        finally:
            raw.close()

    def sqlstate(self, error: BaseException) -> str | None:
        return _sqlstate(error)

    def close(self) -> None:
        for engine in (self._engine, self._many):
            engine.dispose()


def _invoices() -> sa.Select[tuple[Invoice]]:
    return sa.select(Invoice).order_by(Invoice.number)


def _matched(result: Any) -> int:
    found: int = result.rowcount
    return found


def _rows(result: sa.CursorResult[Any]) -> list[tuple[Any, ...]]:
    return [tuple(row) for row in result] if result.returns_rows else []


class SQLAlchemyAsyncAdapter(_Tables):
    """The same through async engines, on an event loop of its own."""

    def __init__(
        self,
        server: postgres.Server,
        database: str,
        auth: JWTRole,
        driver: str,
        **given: Any,
    ) -> None:
        self.name = f"sqlalchemy-async-{driver}"
        self.auth = auth
        make = functools.partial(
            create_async_engine,
            server.url(driver, postgres.LOGIN, database),
            connect_args=given,
        )
        self._engine = attach(make(pool_size=1, max_overflow=0), auth)
        self._many = attach(make(pool_size=4), auth)
        self._runner = asyncio.Runner()

    def _in_session(
        self, who: Who, work: Callable[[AsyncSession], Awaitable[Any]]
    ) -> Any:
        async def run() -> Any:
            with _acting(who):
                async with AsyncSession(self._engine) as session:
                    return await work(session)

        return self._runner.run(run())

    def numbers(self, who: Who) -> list[str]:
        async def work(session: AsyncSession) -> list[str]:
            return [found.number for found in await session.scalars(_invoices())]

        return list(self._in_session(who, work))

    def add(self, who: Who, number: str, tenant: UUID | None = None) -> None:
        async def work(session: AsyncSession) -> None:
            session.add(_invoice(number, tenant))
            await session.commit()

        self._in_session(who, work)

    def _changed(self, who: Who, statement: Any) -> int:
        async def work(session: AsyncSession) -> int:
            matched = _matched(await session.execute(statement))
            await session.commit()
            return matched

        return int(self._in_session(who, work))

    def rename(self, who: Who, old: str, new: str) -> int:
        return self._changed(who, _rename(old, new))

    def remove(self, who: Who, number: str) -> int:
        return self._changed(who, _remove(number))

    def _sent(
        self, who: Who, statements: Sequence[str], end: str
    ) -> list[tuple[Any, ...]]:
        async def run() -> list[tuple[Any, ...]]:
            rows: list[tuple[Any, ...]] = []
            with _acting(who):
                async with self._engine.connect() as conn:
                    for sql in statements:
                        rows = _rows(await conn.exec_driver_sql(sql))
                    await getattr(conn, end)()
            return rows

        return self._runner.run(run())

    def sql(self, who: Who, *statements: str) -> list[tuple[Any, ...]]:
        return self._sent(who, statements, "commit")

    def sql_rolled_back(self, who: Who, *statements: str) -> list[tuple[Any, ...]]:
        return self._sent(who, statements, "rollback")

    def savepoint_rolled_back(self, who: Who) -> list[str]:
        async def work(session: AsyncSession) -> list[str]:
            await session.scalars(NUMBERS)
            with contextlib.suppress(DBAPIError):
                async with session.begin_nested():
                    await session.execute(sa.text("SELECT * FROM nowhere"))
            return list(await session.scalars(NUMBERS))

        return list(self._in_session(who, work))

    def savepoint_first(self, who: Who) -> list[str]:
        async def work(session: AsyncSession) -> list[str]:
            nested = await session.begin_nested()
            await session.scalars(NUMBERS)
            await nested.rollback()
            return list(await session.scalars(NUMBERS))

        return list(self._in_session(who, work))

    def after_error(self, who: Who) -> list[str]:
        async def work(session: AsyncSession) -> list[str]:
            conn = await session.connection()
            with contextlib.suppress(DBAPIError):
                await conn.exec_driver_sql("SELECT * FROM nowhere")
            await session.rollback()
            return list(await session.scalars(NUMBERS))

        return list(self._in_session(who, work))

    def after_commit(self, who: Who) -> list[str]:
        async def work(session: AsyncSession) -> list[str]:
            await session.scalars(NUMBERS)
            await session.commit()
            return list(await session.scalars(NUMBERS))

        return list(self._in_session(who, work))

    def stream(self, who: Who) -> list[str]:
        async def work(session: AsyncSession) -> list[str]:
            options = {"yield_per": 1}
            found = await session.stream_scalars(NUMBERS, execution_options=options)
            return sorted([number async for number in found])

        return list(self._in_session(who, work))

    def change_inside(self, first: Identity, second: Identity) -> list[str]:
        async def run() -> list[str]:
            async with AsyncSession(self._engine) as session:
                async with acting_as(first):
                    await session.scalars(NUMBERS)
                async with acting_as(second):
                    return list(await session.scalars(NUMBERS))

        return self._runner.run(run())

    def alternate(self, whos: Sequence[Identity]) -> list[list[str]]:
        return [self.numbers(who) for who in whos]

    def concurrently(self, whos: Sequence[Identity]) -> list[list[str]]:
        async def read(who: Identity) -> list[str]:
            async with acting_as(who), AsyncSession(self._many) as session:
                return list(await session.scalars(NUMBERS))

        async def run() -> list[list[str]]:
            return await asyncio.gather(*map(read, whos))

        return self._runner.run(run())

    def unhooked(self, statement: str) -> list[tuple[Any, ...]]:
        async def run() -> list[tuple[Any, ...]]:
            async with self._engine.connect() as conn:
                return await conn.run_sync(self._past_the_hooks, statement)

        return self._runner.run(run())

    @staticmethod
    def _past_the_hooks(conn: sa.Connection, statement: str) -> list[tuple[Any, ...]]:
        # The adapted cursor of the very connection that identities were put on.
        cursor = conn.connection.cursor()
        cursor.execute(statement)
        return [tuple(row) for row in cursor.fetchall()]

    def sqlstate(self, error: BaseException) -> str | None:
        return _sqlstate(error)

    def close(self) -> None:
        async def run() -> None:
            await self._engine.dispose()
            await self._many.dispose()

        self._runner.run(run())
        self._runner.close()
