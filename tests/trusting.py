"""Databases that verify tokens themselves, and an owner who changes what they trust."""

from __future__ import annotations

import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from jwtrole import JWTRole, install, sync
from tests import postgres

if TYPE_CHECKING:
    from collections.abc import Iterator

    import psycopg

    from jwtrole.testing import ThrowawayIssuer


def run(server: postgres.Server, database: str, statement: str, *given: Any) -> None:
    """Run a statement as the owner."""
    with server.connect(postgres.OWNER, database) as owner:
        owner.execute(statement.encode(), given or None)


def upgrade(server: postgres.Server, database: str) -> None:
    """Change a database, policies and all, to one that verifies tokens itself."""
    release = install.latest("database")
    with server.connect(postgres.OWNER, database) as owner, owner.transaction():
        (installed,) = owner.execute("SELECT jwtrole.version()").fetchone() or (0,)
        for statement in (
            *install.change(installed, release.version),
            *release.grants(postgres.LOGIN),
        ):
            owner.execute(statement.encode())


def trust(
    server: postgres.Server,
    database: str,
    issuer: ThrowawayIssuer,
    *,
    anonymous: str | None = None,
) -> None:
    """Have a database trust an issuer with every role of the project."""
    believe(
        server,
        database,
        JWTRole([issuer.issuer], list(postgres.ROLES), anonymous=anonymous),
    )


def believe(
    server: postgres.Server,
    database: str,
    auth: JWTRole,
    *,
    owner: str = postgres.OWNER,
) -> None:
    """Have a database trust what a configuration does."""
    with server.connect(owner, database) as connection, connection.transaction():
        for statement in sync.statements(auth):
            connection.execute(statement.with_percent().encode(), statement.parameters)


def end_tickets(
    server: postgres.Server, database: str, issuer: ThrowawayIssuer
) -> None:
    """End every ticket of an issuer and trust it as before."""
    run(server, database, "SELECT jwtrole._changed(%s)", issuer.name)


@contextmanager
def no_logins(server: postgres.Server, database: str) -> Iterator[None]:
    """Take the right to log in away for the length of a block."""
    entry = "EXECUTE ON FUNCTION jwtrole.login(text)"
    run(server, database, f"REVOKE {entry} FROM {postgres.LOGIN}")
    try:
        yield
    finally:
        run(server, database, f"GRANT {entry} TO {postgres.LOGIN}")


def activity(neighbour: psycopg.Connection, pid: int) -> str:
    """Return what one session reads of another's query."""
    row = neighbour.execute(
        "SELECT query FROM pg_catalog.pg_stat_activity WHERE pid = %s", (pid,)
    ).fetchone()
    assert row is not None
    return str(row[0])


def waiting(neighbour: psycopg.Connection) -> str:
    """Return the query of the session that waits for a lock."""
    before = None
    for _ in range(3000):
        row = neighbour.execute(
            "SELECT query FROM pg_catalog.pg_stat_activity"
            " WHERE wait_event_type = 'Lock' AND usename = current_user"
            " AND datname = current_database()"
        ).fetchone()
        # The view reads the query a moment before it reads what is waited for.
        if row is not None and row == before:
            return str(row[0])
        before = row
        time.sleep(0.01)
    message = "nobody waited for a lock"
    raise AssertionError(message)


def everything_said(error: BaseException) -> str:
    """Return all that an error and those behind it say, arguments included."""
    said, seen = [], [error]
    while seen:
        one = seen.pop()
        said.append(f"{one} {one!r} {one.args!r} {getattr(one, '__notes__', '')}")
        said.append(repr({k: v for k, v in vars(one).items() if k != "orig"}))
        seen += [e for e in (one.__cause__, one.__context__) if e is not None]
    return "\n".join(said)
