"""The sending of what puts an identity on, through SQLAlchemy's own cursor."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any, cast

from sqlalchemy.exc import DBAPIError

from jwtrole.begin import TransactionState
from jwtrole.drivers import probe
from jwtrole.errors import ConfigurationError
from jwtrole.sqlstates import TICKET_REFUSED, error_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from sqlalchemy import Connection
    from sqlalchemy.engine.interfaces import DBAPICursor

    from jwtrole.begin import Nobody, Statement
    from jwtrole.errors import JWTRoleError
    from jwtrole.identity import Identity
    from jwtrole.tickets import Tickets

__all__ = ["ask", "driver_of", "forget_prepared", "send", "text_of"]

#: Where the pool's record keeps how much of a query the server shows.
_SHOWN = "jwtrole.shown"


def driver_of(conn: Connection) -> Any:
    """Return the driver's own connection."""
    # Not conn.connection.driver_connection: a detached connection has none there.
    dbapi_connection: Any = conn.connection.dbapi_connection
    return conn.dialect.get_driver_connection(dbapi_connection)


def ask(conn: Connection, statement: Statement) -> Any:
    """Return the one row that answers a statement of the login itself.

    Raises:
        DBAPIError: It failed.
    """
    cursor = conn.connection.cursor()
    try:
        with _unprepared(conn):
            cursor.execute(text_of(conn, statement), statement.parameters)
            return cursor.fetchone()
    except conn.dialect.loaded_dbapi.Error as error:
        raise _driver_error(conn, statement.sql, error) from error
    finally:
        cursor.close()


def send(
    conn: Connection,
    want: Identity | Nobody,
    statements: Sequence[Statement],
    *,
    tickets: Tickets | None,
    again: bool,
) -> bool:
    """Send what puts an identity on.

    Args:
        conn: Where to.
        want: The identity.
        statements: What puts it on.
        tickets: Where a ticket that is handed out is kept.
        again: Whether a refused ticket may be answered with ``False``, the
            transaction begun anew.

    Returns:
        Whether the identity is on.

    Raises:
        JWTRoleError: The database refused the identity.
        DBAPIError: Anything else failed.
    """
    refusal = None
    try:
        _send(conn, want, statements, tickets)
    except conn.dialect.loaded_dbapi.Error as error:
        if _given_back(tickets, want, statements, error) and again:
            _begin_anew(conn)
            return False
        refusal = _refusal(conn, want, statements, error)
    except BaseException:
        # Cancelled between sending and reading: nothing is known of the connection.
        conn.invalidate()
        raise
    if refusal is not None:
        # Out here, lest it carry the driver's error and the frames it went through.
        raise refusal
    if probe.state(driver_of(conn)) is TransactionState.IDLE:
        msg = (
            "The transaction was ended with SQL that SQLAlchemy does not know of "
            "(COMMIT, ROLLBACK), so the identity lasts for nothing: roll back with "
            "connection.rollback() or session.rollback() and begin anew."
        )
        raise ConfigurationError(msg)
    return True


def _send(
    conn: Connection,
    want: Identity | Nobody,
    statements: Sequence[Statement],
    tickets: Any,
) -> None:
    # SQLAlchemy's own cursor: it sends the driver's BEGIN first and waits in the
    # greenlet. Not Connection.execute: it would log the claims with echo=True, show
    # them to other listeners, and make a server-side cursor of it when streaming.
    cursor = conn.connection.cursor()
    try:
        with _unprepared(conn):
            for statement in statements:
                padding = _padding(conn, cursor, statement)
                cursor.execute(padding + text_of(conn, statement), statement.parameters)
                if statement.kind == "login":
                    row: Any = cursor.fetchone()
                    tickets.keep(want, *row[-2:])
    finally:
        cursor.close()


def forget_prepared(conn: Connection) -> None:
    """Have a driver use no statement that it prepared for somebody else.

    Injected SQL can put another statement in the place of one that the driver keeps,
    and would so run as the next identity of a pooled connection. psycopg then prepares
    nothing; asyncpg keeps what one identity alone has used since.
    """
    driver = driver_of(conn)
    if hasattr(driver, "prepare_threshold"):
        driver.prepare_threshold = None
    adapted: Any = conn.connection.dbapi_connection
    kept = getattr(adapted, "_prepared_statement_cache", None)
    if kept is not None:
        kept.clear()


@contextlib.contextmanager
def _unprepared(conn: Connection) -> Iterator[None]:
    """Keep a driver from preparing what is sent inside.

    What is prepared outlives the transaction under a name that SQL can read: injected
    SQL could put another statement in its place, which would be handed the next
    identity's token. asyncpg prepares all that SQLAlchemy sends, and keeps it.
    """
    if conn.dialect.driver != "asyncpg":
        with probe.unprepared(driver_of(conn)):
            yield
        return
    adapted: Any = conn.connection.dbapi_connection
    kept = adapted._prepared_statement_cache, adapted._prepared_statement_name_func
    adapted._prepared_statement_cache = None
    # The empty name is the unnamed statement's, which the next one replaces.
    adapted._prepared_statement_name_func = str
    try:
        yield
    finally:
        adapted._prepared_statement_cache, adapted._prepared_statement_name_func = kept


def text_of(conn: Connection, statement: Statement) -> str:
    """Return a statement's text with the placeholders of the driver."""
    numbered = conn.dialect.paramstyle == "numeric_dollar"
    return statement.sql if numbered else statement.with_percent()


def _padding(conn: Connection, cursor: DBAPICursor, statement: Statement) -> str:
    """Return a comment that keeps a token or a ticket from other sessions.

    What a driver interpolates stands in the text of the query, and pg_stat_activity
    shows every session of the login role as much of the text as this setting says:
    nothing but the comment.
    https://www.postgresql.org/docs/current/runtime-config-statistics.html
    """
    if statement.kind not in {"login", "resume"} or not probe.interpolates(cursor):
        return ""
    if _SHOWN not in conn.info:
        cursor.execute(
            "SELECT pg_catalog.pg_size_bytes("
            "pg_catalog.current_setting('track_activity_query_size'))"
        )
        row: Any = cursor.fetchone()
        conn.info[_SHOWN] = row[0]
    return f"/*{'-' * conn.info[_SHOWN]}*/ "


def _begin_anew(conn: Connection) -> None:
    # Not the driver's rollback(): the named cursor that psycopg2 is about to execute
    # would not outlive it. Isolation level and READ ONLY stay as they were.
    cursor = conn.connection.cursor()
    cursor.execute("ROLLBACK AND CHAIN")
    cursor.close()


def _given_back(
    tickets: Any, want: Any, statements: Sequence[Statement], error: Any
) -> bool:
    """Forget the ticket where it was refused, and say so."""
    resumed = statements[-1].kind == "resume"
    if not resumed or probe.sqlstate(error) not in TICKET_REFUSED:
        return False
    tickets.forget(want)
    return True


def _refusal(
    conn: Connection,
    want: Identity | Nobody,
    statements: Sequence[Statement],
    error: Any,
) -> JWTRoleError:
    """Return what a failure means, or raise it as SQLAlchemy's own."""
    meant = error_of(probe.sqlstate(error), want.role, statements[-1].kind)
    if meant is not None:
        return meant
    text = "; ".join(statement.sql for statement in statements)
    raise _driver_error(conn, text, error) from error


def _driver_error(conn: Connection, text: str, error: Any) -> DBAPIError:
    """Return a driver's error as SQLAlchemy's own, without any parameter."""
    gone = conn.dialect.is_disconnect(error, conn.connection, None)
    if gone:
        conn.invalidate(error)
    found = DBAPIError.instance(
        text,
        None,
        error,
        conn.dialect.loaded_dbapi.Error,
        hide_parameters=True,
        connection_invalidated=gone,
        dialect=conn.dialect,
    )
    return cast("DBAPIError", found)
