"""Attach an engine: each statement runs as whoever is acting, or not at all.

One listener asks :func:`jwtrole.begin.decide` before every statement. A ``begin``
listener alone would not do: SQLAlchemy fires none for two-phase transactions nor, once
such a listener has raised, for later statements on the same connection.
"""

from __future__ import annotations

import re
import warnings
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from sqlalchemy import Engine, event

from jwtrole.begin import TransactionState, decide, wanted
from jwtrole.context import acting
from jwtrole.drivers import probe
from jwtrole.errors import ConfigurationError, TrustWarning
from jwtrole.gate import Gate
from jwtrole.tickets import Tickets
from sqlalchemy_jwtrole.engines import Attachable, engines_of
from sqlalchemy_jwtrole.preamble import ask, driver_of, forget_prepared, send

if TYPE_CHECKING:
    from sqlalchemy import Connection
    from sqlalchemy.pool import ConnectionPoolEntry

    from jwtrole.begin import Nobody
    from jwtrole.identity import Identity
    from jwtrole.tokens import JWTRole

__all__ = ["Guard", "attach", "listen"]

#: Where the pool's record keeps who was last put on, in this transaction and at all.
_WORN = "jwtrole.worn"
_LAST = "jwtrole.last"

# What only ends or undoes work needs nobody, and must get through where the identity
# that did the work has left. A whole statement: nothing hides behind it.
_ENDING = re.compile(
    r"\s*(?:ROLLBACK(?:\s+TO(?:\s+SAVEPOINT)?\s+\w+)?|RELEASE(?:\s+SAVEPOINT)?\s+\w+)\s*",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Guard:
    """Stand before every statement of an engine.

    Args:
        auth: The configuration identities come from.
        outside: Who runs what stands outside any ``acting_as``; tests alone have one.
        may_change: Whether another identity may follow inside one transaction.
        tickets: What the database has handed out, where it verifies tokens itself.
        gate: What asks, once, whether the database agrees; tests have none.
    """

    auth: JWTRole
    outside: Nobody | None = None
    may_change: bool = False
    tickets: Tickets | None = field(default=None, compare=False)
    gate: Gate | None = field(default=None, compare=False)

    def for_one_engine(self) -> Guard:
        """Return the same with what is known of one engine's database."""
        return replace(
            self,
            tickets=Tickets() if self.auth.trust == "database" else None,
            gate=Gate(self.auth) if self.outside is None else None,
        )

    def before(self, conn: Connection, statement: str) -> None:
        """Put on who is acting, or raise before the statement is sent."""
        if _ENDING.fullmatch(statement):
            return
        _refuse_autocommit(conn)
        driver = driver_of(conn)
        opens = probe.state(driver) is TransactionState.IDLE
        want = wanted(acting(), anonymous=self.auth.anonymous, outside=self.outside)
        if self.gate is not None and not self.gate.passed:
            self.gate.ask(partial(ask, conn))
        # A refused ticket is answered with one login, where nothing is lost by it.
        if not self._put_on(conn, want, again=opens):
            self._put_on(conn, want, again=False)

    def _put_on(
        self, conn: Connection, want: Identity | Nobody, *, again: bool
    ) -> bool:
        driver = driver_of(conn)
        state = probe.state(driver)
        statements = decide(
            state,
            want,
            worn=conn.info.get(_WORN),
            reported=probe.reported(driver) if state is TransactionState.OPEN else "",
            app_name=self.auth.app_name,
            may_change=self.may_change,
            tickets=self.tickets,
            settings=self.auth.settings,
        )
        if not statements:
            return True
        # Inside a transaction whoever began it stays noted, also where this fails: a
        # ROLLBACK TO must not let another one take over.
        _forget_if_idle(conn.info, driver)
        if self.tickets is not None and conn.info.get(_LAST) != want.fingerprint:
            forget_prepared(conn)
            conn.info[_LAST] = want.fingerprint
        on = send(conn, want, statements, tickets=self.tickets, again=again)
        if on:
            conn.info[_WORN] = want
        return on


def _forget_if_idle(info: dict[Any, Any], driver: Any) -> None:
    if driver is None or probe.state(driver) is TransactionState.IDLE:
        info.pop(_WORN, None)


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
    refused before they are sent, and so is every one until the database has been
    asked, once, whether it agrees with ``auth``. Attaching again with the same
    ``auth`` does nothing.

    Args:
        target: An engine, an async engine, or a sessionmaker of either kind with a
            bind; PostgreSQL through psycopg, psycopg2 or asyncpg.
        auth: The configuration identities come from.

    Returns:
        The same object.

    Raises:
        ConfigurationError: No engine to be found, another database or driver, or
            already attached otherwise.

    Warns:
        TrustWarning: The application is trusted to say who is acting.
    """
    if auth.trust != "database":
        warnings.warn(
            "trust='application': whoever injects SQL can become any tenant and any "
            "role. With trust='database' PostgreSQL verifies each token itself.",
            TrustWarning,
            stacklevel=2,
        )
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
    guards = {engine: guard.for_one_engine() for engine in found}
    for engine in found:
        if engine not in _guards:
            _guards[engine] = guards[engine]
            _listen(engine, guards[engine])


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
        _forget_if_idle(conn.info, driver_of(conn))

    def checkin(_dbapi_connection: Any, record: ConnectionPoolEntry) -> None:
        # A transaction that the pool was told to leave open keeps its identity, lest
        # the next one joins it.
        _forget_if_idle(record.info, record.driver_connection)

    event.listen(engine, "before_cursor_execute", before_cursor_execute)
    event.listen(engine, "begin_twophase", begin_twophase)
    event.listen(engine, "begin", begin, insert=True)
    event.listen(engine, "checkin", checkin)
