"""What a driver's connection knows without asking the server.

psycopg, psycopg2 and asyncpg each keep the last ReadyForQuery and ParameterStatus of
the server; nothing here imports one of them and nothing is sent.
https://www.postgresql.org/docs/current/protocol-flow.html#PROTOCOL-ASYNC
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from jwtrole.begin import TransactionState

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["interpolates", "reported", "sqlstate", "state", "unprepared"]

# libpq's PGTransactionStatusType. An unknown state is a dead connection: taken for
# idle, the next thing sent meets the driver's own error.
_STATES = {
    0: TransactionState.IDLE,
    1: TransactionState.OPEN,
    2: TransactionState.OPEN,
    3: TransactionState.FAILED,
    4: TransactionState.IDLE,
}


def state(driver: Any) -> TransactionState:
    """Return where a connection stands, as the server last told.

    asyncpg does not tell a failed transaction from an open one; what is sent into it
    is refused by the server.

    Args:
        driver: A connection of psycopg, psycopg2 or asyncpg.
    """
    if hasattr(driver, "is_in_transaction"):
        inside = driver.is_in_transaction()
        return TransactionState.OPEN if inside else TransactionState.IDLE
    return _STATES[int(driver.info.transaction_status)]


def reported(driver: Any) -> str:
    """Return the ``application_name`` the server last reported, empty for none.

    Args:
        driver: A connection of psycopg, psycopg2 or asyncpg.
    """
    if hasattr(driver, "get_settings"):
        name = driver.get_settings().application_name
    else:
        name = driver.info.parameter_status("application_name")
    return name or ""


def sqlstate(error: BaseException) -> str | None:
    """Return the SQLSTATE a driver's exception carries, or ``None``."""
    found = getattr(error, "sqlstate", None) or getattr(error, "pgcode", None)
    return found if isinstance(found, str) else None


def interpolates(cursor: Any) -> bool:
    """Say whether a cursor writes parameters into the text of the query.

    Every cursor of psycopg2 does, and psycopg's ``ClientCursor``; they alone can show
    the text that comes of it.

    Args:
        cursor: A cursor of the driver's, or SQLAlchemy's adapter around one.
    """
    return hasattr(getattr(cursor, "_cursor", cursor), "mogrify")


@contextmanager
def unprepared(driver: Any) -> Iterator[None]:
    """Keep psycopg from preparing what is sent inside; nothing for other drivers.

    Once anything is prepared on a connection, psycopg's ``rollback()`` costs a round
    trip more, and a statement of every transaction would soon be.
    """
    if not hasattr(driver, "prepare_threshold"):
        yield
        return
    threshold, driver.prepare_threshold = driver.prepare_threshold, None
    try:
        yield
    finally:
        driver.prepare_threshold = threshold
