"""What the cursors of one psycopg connection share: who is wanted, and who is worn."""

from __future__ import annotations

import contextlib
import threading
from typing import TYPE_CHECKING, Any

import psycopg
from psycopg import pq

from jwtrole.begin import TransactionState, decide
from jwtrole.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from jwtrole.begin import Nobody, Statement
    from jwtrole.identity import Identity
    from jwtrole.role_settings import Settings
    from jwtrole.tickets import Tickets

    Connection = psycopg.Connection[Any]

__all__ = ["Carrier", "carrier_of", "detach", "hang", "require_pipeline", "status_of"]

_Status = pq.TransactionStatus
_STATES = {
    _Status.IDLE: TransactionState.IDLE,
    _Status.INTRANS: TransactionState.OPEN,
    # ACTIVE never gets here, and of a broken connection the driver speaks itself.
    _Status.INERROR: TransactionState.FAILED,
    _Status.UNKNOWN: TransactionState.FAILED,
}
_ATTRIBUTE = "_jwtrole_carrier"


class Carrier:
    """Be what the cursors of one connection share.

    Args:
        want: Says who the next statement must run as, or raises; ``None`` leaves it to
            the login itself.
        app_name: The application's name in the sentinel.
        may_change: Whether another identity may follow inside one transaction.
        tickets: What the database has handed out, where it verifies tokens itself.
        settings: The settings of each role that has some.
    """

    def __init__(
        self,
        want: Callable[[], Identity | Nobody | None],
        app_name: str,
        *,
        may_change: bool = False,
        tickets: Tickets | None = None,
        settings: Settings | None = None,
    ) -> None:
        self.want = want
        self.app_name = app_name
        self.may_change = may_change
        self.tickets = tickets
        self.settings = settings
        #: Whether statements pass untouched: while connecting, and for pool checks.
        self.suspended: bool = True
        #: Whether the next statement at idle opens a transaction.
        self.explicit = False
        #: Who was put on last.
        self.worn: Identity | Nobody | None = None
        #: Held from the decision until the statement is sent.
        self.lock: threading.RLock = threading.RLock()

    @contextlib.contextmanager
    def suspend(self) -> Iterator[None]:
        """Let statements pass untouched for the length of a block."""
        before = self.suspended
        self.suspended = True
        try:
            yield
        finally:
            self.suspended = before

    def forget(self, connection: Connection) -> None:
        """Forget who was put on where no transaction is open.

        Asked of libpq and never of a setting, which injected SQL could change.
        """
        if status_of(connection) == _Status.IDLE:
            self.worn = None

    def statements(
        self, connection: Connection, want: Identity | Nobody | None
    ) -> tuple[Statement, ...]:
        """Return what must precede the next statement, BEGIN excepted."""
        if want is None:
            return ()
        status = status_of(connection)
        if status == _Status.ACTIVE:
            # Inside the caller's own pipeline: entering another one syncs it.
            with connection.pipeline():
                status = status_of(connection)
        state, reported = _STATES[status], _reported(connection)
        found = decide(
            state,
            want,
            worn=self.worn,
            reported=reported,
            app_name=self.app_name,
            may_change=self.may_change,
            tickets=self.tickets,
            settings=self.settings,
        )
        if found:
            self.worn = want
        return found


def require_pipeline() -> None:
    """Refuse a client library without pipeline mode, before it connects.

    Raises:
        ConfigurationError: libpq is older than 14.
    """
    if not psycopg.Pipeline.is_supported():
        msg = (
            f"libpq {pq.version()} has no pipeline mode: install psycopg[binary], or "
            "psycopg with a libpq of PostgreSQL 14 or newer."
        )
        raise ConfigurationError(msg)


def hang(carrier: Carrier, connection: Connection) -> None:
    """Have the fused cursors of a connection find their carrier."""
    setattr(connection, _ATTRIBUTE, carrier)


def detach(connection: Connection) -> None:
    """Have the cursors of a connection behave as without us again."""
    setattr(connection, _ATTRIBUTE, None)


def carrier_of(connection: Connection) -> Carrier | None:
    """Return what :func:`attach` gave a connection, unless it is suspended."""
    carrier: Carrier | None = getattr(connection, _ATTRIBUTE, None)
    return None if carrier is None or carrier.suspended else carrier


def status_of(connection: Connection) -> pq.TransactionStatus:
    """Return where a connection stands, as libpq last heard."""
    return _Status(connection.pgconn.transaction_status)


def _reported(connection: Connection) -> str:
    return connection.info.parameter_status("application_name") or ""
