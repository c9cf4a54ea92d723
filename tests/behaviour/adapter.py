"""What an adapter must be able to do for the behaviour specification.

Each adapter opens the same table: ``invoice(id uuid, tenant_id uuid, number text)``,
protected by ``TenantMixin`` for ``member`` and ``manager``, owned by the owner. All
methods are plain functions; an asynchronous adapter runs its own event loop inside.
"""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID

    from jwtrole.identity import Identity
    from jwtrole.tokens import JWTRole
    from tests import postgres


class Outside(enum.Enum):
    """Say that no ``acting_as`` stands around the statement at all."""

    OUTSIDE = "outside"


OUTSIDE = Outside.OUTSIDE
Who = "Identity | None | Outside"


class Adapter(Protocol):
    """Do the same things through one ORM, one driver, sync or async.

    ``who`` is an identity, ``None`` (``acting_as(None)``) or ``OUTSIDE``. Opened with
    a server, a database, a configuration, the driver where there are several, and what
    connections are told beyond that.
    """

    #: Shown as the test's parameter.
    name: str
    #: Members and managers, the anonymous role ``anon`` (no grants on the table).
    auth: JWTRole

    @staticmethod
    def make_tables(server: postgres.Server, database: str) -> None:
        """Make the table as the owner, before the adapter is opened."""
        ...

    def numbers(self, who: Who) -> list[str]:
        """Return the numbers of the invoices seen through the ORM, sorted."""
        ...

    def add(self, who: Who, number: str, tenant: UUID | None = None) -> None:
        """Insert through the ORM; without a tenant the database's default counts."""
        ...

    def rename(self, who: Who, old: str, new: str) -> int:
        """Update by number through the ORM; return how many rows matched."""
        ...

    def remove(self, who: Who, number: str) -> int:
        """Delete by number through the ORM; return how many rows matched."""
        ...

    def sql(self, who: Who, *statements: str) -> list[tuple[Any, ...]]:
        """Run raw statements in one transaction and commit; return the last's rows."""
        ...

    def sql_rolled_back(self, who: Who, *statements: str) -> list[tuple[Any, ...]]:
        """Run raw statements in one transaction and roll back; the last's rows."""
        ...

    def savepoint_rolled_back(self, who: Who) -> list[str]:
        """In one transaction: read, fail inside a savepoint, roll it back, read."""
        ...

    def savepoint_first(self, who: Who) -> list[str]:
        """In one transaction: a savepoint is the first thing; roll it back, read."""
        ...

    def after_error(self, who: Who) -> list[str]:
        """Fail a statement, roll back, read on the same connection."""
        ...

    def after_commit(self, who: Who) -> list[str]:
        """Read, commit, read again on the same connection or session."""
        ...

    def stream(self, who: Who) -> list[str]:
        """Return the numbers through a server-side cursor, sorted."""
        ...

    def change_inside(self, first: Identity, second: Identity) -> list[str]:
        """Open a transaction as the first, read, then read as the second inside it."""
        ...

    def alternate(self, whos: Sequence[Identity]) -> list[list[str]]:
        """Read as each in turn on one pooled connection, physically the same."""
        ...

    def concurrently(self, whos: Sequence[Identity]) -> list[list[str]]:
        """Read as all of them at the same time, in threads or tasks."""
        ...

    def unhooked(self, statement: str) -> list[tuple[Any, ...]]:
        """Run a statement on a connection of the login role past every hook."""
        ...

    def sqlstate(self, error: BaseException) -> str | None:
        """Return the SQLSTATE an exception of this adapter carries, if any."""
        ...

    def close(self) -> None:
        """Give back every connection."""
        ...
