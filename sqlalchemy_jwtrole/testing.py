"""For tests: fixtures and requests that share one transaction, which is rolled back.

The engine logs in as the test role, which may become the owner and every fixed role,
and exists for test databases alone. Tables stay FORCEd: write fixtures as somebody, in
:class:`~jwtrole.acting_as`, or take the force off a test database with
:func:`unforce`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from jwtrole.begin import Nobody
from jwtrole.quoting import qualified
from sqlalchemy_jwtrole.begin import Guard, listen
from sqlalchemy_jwtrole.create import execute
from sqlalchemy_jwtrole.policy import protected

if TYPE_CHECKING:
    from sqlalchemy import Connection, MetaData

    from jwtrole.tokens import JWTRole
    from sqlalchemy_jwtrole.engines import Attachable

__all__ = ["attach", "unforce"]


def attach(target: Attachable, auth: JWTRole, *, owner: str) -> Attachable:
    """Make statements run as whoever is acting, and outside of that as the owner.

    Unlike :func:`sqlalchemy_jwtrole.attach` it lets identities follow each other
    inside one transaction, as SQLAlchemy's recipe for test suites needs:
    ``Session(bind=connection, join_transaction_mode="create_savepoint")``.

    Args:
        target: An engine, an async engine, or a sessionmaker of either kind with a
            bind, which logs in as the test role.
        auth: The configuration identities come from.
        owner: The role that owns the tables.

    Returns:
        The same object.

    Raises:
        ConfigurationError: As :func:`sqlalchemy_jwtrole.attach` says.
    """
    listen(target, Guard(auth, outside=Nobody(owner), may_change=True))
    return target


def unforce(connection: Connection, metadata: MetaData) -> None:
    """Let the owner past row security on every protected table of a test database.

    Never in production: the owner's own statements see and write every tenant's rows
    afterwards.
    """
    execute(
        connection,
        [
            f"ALTER TABLE {qualified(table.schema, table.name)} NO FORCE ROW LEVEL "
            "SECURITY"
            for table, declared in protected(metadata)
            if declared.policies
        ],
    )
