"""Attach an engine: each statement runs as whoever is acting, or not at all.

One listener asks :func:`jwtrole.begin.decide` before every statement. A ``begin``
listener alone would not do: SQLAlchemy fires none for two-phase transactions nor, once
such a listener has raised, for later statements on the same connection.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from sqlalchemy import Engine, event
from sqlalchemy.exc import DBAPIError

from jwtrole.begin import TransactionState, decide, wanted
from jwtrole.context import acting
from jwtrole.drivers import probe
from jwtrole.errors import ConfigurationError
from sqlalchemy_jwtrole.engines import Attachable, engines_of

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import NoReturn

    from sqlalchemy import Connection
    from sqlalchemy.engine.interfaces import DBAPICursor
    from sqlalchemy.pool import ConnectionPoolEntry

    from jwtrole.begin import Nobody, Statement
    from jwtrole.identity import Identity
    from jwtrole.tokens import JWTRole

__all__ = ["Guard", "attach", "listen"]

#: Where the pool's record keeps who was last put on.
_WORN = "jwtrole.worn"

# What only ends or undoes work needs nobody, and must get through where the identity
# that did the work has left. A whole statement: nothing hides behind it.
_ENDING = re.compile(
    r"\s*(?:ROLLBACK(?:\s+TO(?:\s+SAVEPOINT)?\s+\w+)?|RELEASE(?:\s+SAVEPOINT)?\s+\w+)\s*",
    re.IGNORECASE,
)

# insufficient_privilege: the login role may not become this role;
# invalid_parameter_value: there is no such role.
_NO_ROLE = {"42501": "was not granted to the login role", "22023": "does not exist"}


@dataclass(frozen=True)
class Guard:
    """Stand before every statement of an engine.

    Args:
        auth: The configuration identities come from.
        outside: Who runs what stands outside any ``acting_as``; tests alone have one.
        may_change: Whether another identity may follow inside one transaction.
    """

    auth: JWTRole
    outside: Nobody | None = None
    may_change: bool = False

    def before(self, conn: Connection, statement: str) -> None:
        """Put on who is acting, or raise before the statement is sent."""
        if _ENDING.fullmatch(statement):
            return
        _refuse_autocommit(conn)
        driver = _driver(conn)
        state = probe.state(driver)
        want = wanted(acting(), anonymous=self.auth.anonymous, outside=self.outside)
        statements = decide(
            state,
            want,
            worn=conn.info.get(_WORN),
            reported=_reported(driver, state),
            app_name=self.auth.app_name,
            may_change=self.may_change,
        )
        if statements:
            self._put_on(conn, want, statements)

    @staticmethod
    def _put_on(
        conn: Connection, want: Identity | Nobody, statements: Sequence[Statement]
    ) -> None:
        driver = _driver(conn)
        # Inside a transaction whoever began it stays noted, also where this fails: a
        # ROLLBACK TO must not let another one take over.
        _forget_if_idle(conn.info, driver)
        cursor = conn.connection.cursor()
        try:
            with probe.unprepared(driver):
                for statement in statements:
                    _execute(conn, cursor, statement)
        except conn.dialect.loaded_dbapi.Error as error:
            _refused(conn, want, statements, error)
        except BaseException:
            # Cancelled between sending and reading: nothing is known of the connection.
            conn.invalidate()
            raise
        finally:
            cursor.close()
        if probe.state(driver) is TransactionState.IDLE:
            msg = (
                "The transaction was ended with SQL that SQLAlchemy does not know of "
                "(COMMIT, ROLLBACK), so the identity lasts for nothing: roll back with "
                "connection.rollback() or session.rollback() and begin anew."
            )
            raise ConfigurationError(msg)
        conn.info[_WORN] = want


def _forget_if_idle(info: dict[Any, Any], driver: Any) -> None:
    if driver is None or probe.state(driver) is TransactionState.IDLE:
        info.pop(_WORN, None)


def _driver(conn: Connection) -> Any:
    # Not conn.connection.driver_connection: a detached connection has none there.
    dbapi_connection: Any = conn.connection.dbapi_connection
    return conn.dialect.get_driver_connection(dbapi_connection)


def _reported(driver: Any, state: TransactionState) -> str:
    return probe.reported(driver) if state is TransactionState.OPEN else ""


def _execute(conn: Connection, cursor: DBAPICursor, statement: Statement) -> None:
    # SQLAlchemy's own cursor: it sends the driver's BEGIN first and waits in the
    # greenlet. Not Connection.execute: it would log the claims with echo=True, show
    # them to other listeners, and make a server-side cursor of it when streaming.
    numbered = conn.dialect.paramstyle == "numeric_dollar"
    text = statement.sql if numbered else statement.with_percent()
    cursor.execute(text, statement.parameters)


def _refused(
    conn: Connection,
    want: Identity | Nobody,
    statements: Sequence[Statement],
    error: Any,
) -> NoReturn:
    if reason := _NO_ROLE.get(probe.sqlstate(error) or ""):
        msg = (
            f"The role {want.role!r} {reason}, so the statement was not sent: name it "
            "among the roles, then run jwtrole bootstrap as somebody with CREATEROLE."
        )
        raise ConfigurationError(msg) from error
    gone = conn.dialect.is_disconnect(error, conn.connection, None)
    if gone:
        conn.invalidate(error)
    raise DBAPIError.instance(
        "; ".join(statement.sql for statement in statements),
        None,
        error,
        conn.dialect.loaded_dbapi.Error,
        hide_parameters=True,
        connection_invalidated=gone,
        dialect=conn.dialect,
    ) from error


def _refuse_autocommit(conn: Connection) -> None:
    dbapi_connection: Any = conn.connection.dbapi_connection
    if conn.dialect.detect_autocommit_setting(dbapi_connection):
        msg = (
            "This connection is in AUTOCOMMIT, where an identity, which lasts for one "
            "transaction, cannot hold, so the statement was not sent: leave the "
            "isolation level alone, or use the owner's engine for VACUUM and the like."
        )
        raise ConfigurationError(msg)


def attach(target: Attachable, auth: JWTRole) -> Attachable:
    """Make each transaction of an engine run as whoever is acting.

    Statements without an identity, in AUTOCOMMIT or in a two-phase transaction are
    refused before they are sent. Attaching again with the same ``auth`` does nothing.

    Args:
        target: An engine, an async engine, or a sessionmaker of either kind with a
            bind; PostgreSQL through psycopg, psycopg2 or asyncpg.
        auth: The configuration identities come from.

    Returns:
        The same object.

    Raises:
        ConfigurationError: No engine to be found, another database or driver, or
            already attached otherwise.
    """
    listen(target, Guard(auth))
    return target


_guards: WeakKeyDictionary[Engine, Guard] = WeakKeyDictionary()


def listen(target: object, guard: Guard) -> None:
    """Put a guard before every statement of all engines behind an object.

    Raises:
        ConfigurationError: As :func:`attach` says; then nothing was attached.
    """
    found = engines_of(target)
    if any(_guards.get(engine, guard) != guard for engine in found):
        msg = (
            "This engine is attached already, with another configuration: create one "
            "engine for each."
        )
        raise ConfigurationError(msg)
    for engine in found:
        if engine not in _guards:
            _guards[engine] = guard
            _listen(engine, guard)


def _listen(engine: Engine, guard: Guard) -> None:
    """Register every listener there is."""

    def before_cursor_execute(
        conn: Connection, _cursor: Any, statement: str, *_: Any
    ) -> None:
        guard.before(conn, statement)

    def begin_twophase(conn: Connection, _xid: Any) -> None:
        # An exception alone would leave a Connection that believes it is beginning.
        conn.close()
        msg = (
            "A two-phase transaction cannot carry an identity: COMMIT PREPARED would "
            "have to run as the same role. Use begin(), and the connection anew."
        )
        raise ConfigurationError(msg)

    def begin(conn: Connection) -> None:
        # Before other listeners open the transaction with statements of their own.
        _forget_if_idle(conn.info, _driver(conn))

    def checkin(_dbapi_connection: Any, record: ConnectionPoolEntry) -> None:
        # A transaction that the pool was told to leave open keeps its identity, lest
        # the next one joins it.
        _forget_if_idle(record.info, record.driver_connection)

    event.listen(engine, "before_cursor_execute", before_cursor_execute)
    event.listen(engine, "begin_twophase", begin_twophase)
    event.listen(engine, "begin", begin, insert=True)
    event.listen(engine, "checkin", checkin)
