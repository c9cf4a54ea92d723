"""Three databases with the same rows: one for each mode, one that nobody protects.

They are copies of one another, byte for byte, of which one is then changed to verify
tokens itself. So nothing but the mode tells them apart, and what one reads warms no
other's pages.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import psycopg
from psycopg import conninfo
from sqlalchemy import BigInteger, create_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from jwtrole import sync
from jwtrole.begin import preamble
from jwtrole.tickets import Tickets
from sqlalchemy_jwtrole.models import TenantMixin
from tests import postgres, trusting
from tests.benchmarks import identities
from tests.benchmarks.pipeline import BEGIN, COMMIT, Line, Message, messages

if TYPE_CHECKING:
    from collections.abc import Iterator

    from jwtrole import Identity
    from tests.postgres import Server

__all__ = ["ROWS_OF_A_TENANT", "Invoice", "World", "made"]

#: Each tenant has these many rows, however many rows there are.
ROWS_OF_A_TENANT = 1000

# Rows of all tenants lie side by side, as they do where tenants work at the same time.
_FILL = """
INSERT INTO invoice (id, tenant_id, amount)
SELECT n, lpad(to_hex(n %% %(tenants)s + 1), 32, '0')::uuid, n %% 97
FROM generate_series(1, %(rows)s::bigint) AS n
"""


class Base(DeclarativeBase):
    """Hold the benchmark's one table."""

    __jwtrole_to__ = postgres.ROLES


class Invoice(TenantMixin, Base):
    """Be a row of a tenant, its policy written by the mixin."""

    __tablename__ = "invoice"

    id: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    amount: Mapped[int]


@dataclass
class World:
    """Be what everything is measured in.

    Args:
        server: Where it runs.
        open: The database that a superuser reads with a WHERE by hand.
        application: The database whose application verifies tokens.
        sealed: The database that verifies them itself.
        rows: How many rows each table has.
        signers: Who issues tokens.
    """

    server: Server
    open: str
    application: str
    sealed: str
    rows: int
    signers: list[identities.Signer]
    _closing: contextlib.ExitStack = field(default_factory=contextlib.ExitStack)

    def line(self, database: str, user: str | None = postgres.LOGIN) -> Line:
        """Return a connection in pipeline mode; without a user, of a superuser."""
        line = Line(self._conninfo(database, user))
        self._closing.callback(line.close)
        return line

    def connection(
        self, database: str, user: str | None = postgres.LOGIN
    ) -> psycopg.Connection:
        """Return one as an application has it; without a user, of a superuser."""
        found = psycopg.connect(
            self._conninfo(database, user),
            autocommit=True,
            cursor_factory=psycopg.RawCursor,
        )
        self._closing.callback(found.close)
        return found

    def _conninfo(self, database: str, user: str | None) -> str:
        if user is None:
            return conninfo.make_conninfo(self.server.dsn, dbname=database)
        return self.server.conninfo(user, database)

    def close(self) -> None:
        """End all connections."""
        self._closing.close()

    @property
    def version(self) -> int:
        """Return the major version of PostgreSQL."""
        with psycopg.connect(self.server.dsn) as admin:
            return admin.info.server_version // 10000

    def identity(self, signer: identities.Signer) -> Identity:
        """Return whom a signer's token proves."""
        auth = identities.configuration(self.signers, "application")
        return auth.verify(signer.token)

    def pushed(self) -> list[Message]:
        """Return what puts an identity on where the application verifies tokens."""
        who = self.identity(self.signers[0])
        return messages(preamble(who, identities.APP_NAME))

    def logged_in(self, signer: identities.Signer) -> list[Message]:
        """Return what puts an identity on by its token."""
        who = self.identity(signer)
        return messages(preamble(who, identities.APP_NAME, Tickets()))

    def anonymous(self) -> list[Message]:
        """Return what puts the anonymous identity on."""
        who = identities.configuration(self.signers, "database").anonymous
        assert who is not None
        return messages(preamble(who, identities.APP_NAME, Tickets()))

    def resumed(self, line: Line) -> list[Message]:
        """Log in and return what puts the same identity on from then on."""
        who, tickets = self.identity(self.signers[0]), Tickets()
        log_in = messages(preamble(who, identities.APP_NAME, tickets))
        [answers] = line.fly([[BEGIN, *log_in, COMMIT]])
        row = answers[-2]
        last = row.nfields - 1
        ticket, expires = row.get_value(0, last - 1), row.get_value(0, last)
        assert ticket is not None
        assert expires is not None
        tickets.keep(who, ticket.decode(), float(expires))
        return messages(preamble(who, identities.APP_NAME, tickets))


@contextlib.contextmanager
def made(server: Server, name: str, rows: int) -> Iterator[World]:
    """Make the databases with these many rows, and take them away in the end.

    Args:
        server: Where.
        name: How their names begin.
        rows: How many rows each has; a thousand belong to each tenant.
    """
    source = f"{name}_source"
    copies = [f"{name}_{end}" for end in ("open", "application", "sealed")]
    world = World(server, copies[0], copies[1], copies[2], rows, identities.signers())
    try:
        server.create_database(source)
        _fill(server, source, rows)
        for copy in copies:
            _copy(server, source, copy)
        # Itself it would be the slowest: its pages lie in memory as they were written.
        server.drop_database(source)
        trusting.upgrade(server, world.sealed)
        _tell(world)
        yield world
    finally:
        world.close()
        for database in (source, *copies):
            server.drop_database(database)


def _fill(server: Server, database: str, rows: int) -> None:
    engine = create_engine(server.url("psycopg", postgres.OWNER, database))
    Base.metadata.create_all(engine)
    engine.dispose()
    info = conninfo.make_conninfo(server.dsn, dbname=database)
    with psycopg.connect(info, autocommit=True) as admin:
        admin.execute("ALTER TABLE invoice SET (autovacuum_enabled = off)")
        tenants = max(1, rows // ROWS_OF_A_TENANT)
        admin.execute(_FILL, {"rows": tenants * ROWS_OF_A_TENANT, "tenants": tenants})
        admin.execute("VACUUM (ANALYZE, FREEZE) invoice")


def _copy(server: Server, source: str, target: str) -> None:
    with psycopg.connect(server.dsn, autocommit=True) as admin:
        admin.execute(
            f"CREATE DATABASE {target} OWNER {postgres.OWNER} TEMPLATE {source}"
        )


def _tell(world: World) -> None:
    auth = identities.configuration(world.signers, "database")
    owner = world.server.connect(postgres.OWNER, world.sealed)
    with owner, owner.transaction():
        for statement in sync.statements(auth):
            owner.execute(statement.with_percent().encode(), statement.parameters)
