"""Attached engines of every driver behind one face, on a database that verifies."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any, TypeVar

import psycopg
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import create_async_engine

from jwtrole.context import acting_as
from sqlalchemy_jwtrole import attach, begin
from tests import postgres

if TYPE_CHECKING:
    from collections.abc import Callable

    from jwtrole.identity import Identity
    from jwtrole.tickets import Tickets
    from jwtrole.tokens import JWTRole

_T = TypeVar("_T")

#: The driver, whether asynchronous, and what its connections are given.
DRIVERS: dict[str, tuple[str, bool, dict[str, Any]]] = {
    "psycopg": ("psycopg", False, {}),
    "psycopg-client": ("psycopg", False, {"cursor_factory": psycopg.ClientCursor}),
    "psycopg2": ("psycopg2", False, {}),
    "async-psycopg": ("psycopg", True, {}),
    "async-client": ("psycopg", True, {"cursor_factory": psycopg.AsyncClientCursor}),
    "asyncpg": ("asyncpg", True, {}),
}
#: Those that write parameters into the text of the query.
INTERPOLATING = {"psycopg-client", "psycopg2", "async-client"}


class Attached:
    """Be an attached engine with one connection.

    Args:
        server: The server.
        database: The database.
        which: One of ``DRIVERS``.
        auth: What identities come from.
        settings: Settings each session begins with.
    """

    def __init__(
        self,
        server: postgres.Server,
        database: str,
        which: str,
        auth: JWTRole,
        **settings: str,
    ) -> None:
        self.which = which
        driver, self._asynchronous, given = DRIVERS[which]
        if driver == "asyncpg":
            given = {**given, "server_settings": settings}
        else:
            options = " ".join(f"-c {name}={value}" for name, value in settings.items())
            given = {**given, "options": options}
        make: Any = create_async_engine if self._asynchronous else sa.create_engine
        self.engine = make(
            server.url(driver, postgres.LOGIN, database),
            pool_size=1,
            max_overflow=0,
            connect_args=given,
        )
        attach(self.engine, auth)
        self._runner = asyncio.Runner() if self._asynchronous else None

    @property
    def sync_engine(self) -> sa.Engine:
        """Return SQLAlchemy's synchronous engine, where events are listened to."""
        engine: sa.Engine = getattr(self.engine, "sync_engine", self.engine)
        return engine

    @property
    def tickets(self) -> Tickets:
        """Return what the database has handed out."""
        tickets = begin._guards[self.sync_engine].tickets
        assert tickets is not None
        return tickets

    def run(self, who: Identity | None, work: Callable[[sa.Connection], _T]) -> _T:
        """Run work on a connection as somebody; rolled back unless it commits."""
        acting: Any = contextlib.nullcontext() if who is None else acting_as(who)
        if self._runner is None:
            with acting, self.engine.connect() as conn:
                return work(conn)

        async def run() -> _T:
            with acting:
                async with self.engine.connect() as conn:
                    found: _T = await conn.run_sync(work)
                    return found

        return self._runner.run(run())

    def close(self) -> None:
        """Close the connection."""
        if self._runner is None:
            self.engine.dispose()
        else:
            self._runner.run(self.engine.dispose())
            self._runner.close()
