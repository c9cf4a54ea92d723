"""Run a script of statements for a command, or ask, with psycopg 3."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

import psycopg

from jwtrole.begin import Statement
from jwtrole.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from jwtrole.live import Ask

__all__ = ["asking", "refusal_explained", "run_script", "send"]

# undefined_function, undefined_table, invalid_schema_name: what is told of tokens is
# told to objects of the database mode.
_ABSENT = frozenset({"42883", "42P01", "3F000"})


def run_script(dsn: str, statements: Sequence[str | Statement]) -> list[str]:
    """Run statements in one transaction and return the server's warnings.

    Args:
        dsn: A libpq connection string; it appears in no message.
        statements: What to run, in order.

    Raises:
        ConfigurationError: There is no connection, or the server refused a statement;
            nothing was applied.
    """
    warnings: list[str] = []

    def keep(notice: psycopg.errors.Diagnostic) -> None:
        if notice.severity_nonlocalized == "WARNING":
            warnings.append(_said(notice))

    with refusal_explained(), _connected(dsn) as connection:
        connection.add_notice_handler(keep)
        send(connection, statements)
    return warnings


@contextlib.contextmanager
def asking(dsn: str) -> Iterator[Ask]:
    """Stand around questions that are asked in one transaction, and roll it back.

    Args:
        dsn: A libpq connection string; it appears in no message.

    Raises:
        ConfigurationError: There is no connection, or the server refused to answer.
    """
    with contextlib.closing(_connected(dsn)) as connection:

        def ask(sql: str) -> list[tuple[Any, ...]]:
            cursor = connection.execute(sql.encode())
            return cursor.fetchall() if cursor.description else []

        try:
            yield ask
        except psycopg.Error as error:
            said = _said(error.diag) or type(error).__name__
            msg = f"The server did not answer. It said: {said}"
            raise ConfigurationError(msg) from None


def _connected(dsn: str) -> psycopg.Connection[Any]:
    try:
        return psycopg.connect(dsn)
    except psycopg.Error:
        # The driver's text may quote the connection string.
        msg = (
            "No connection could be made, so nothing was applied: try the same DSN "
            "with psql, which says more."
        )
        raise ConfigurationError(msg) from None


def send(
    connection: psycopg.Connection[Any], statements: Sequence[str | Statement]
) -> None:
    """Send statements, each value as a parameter that the server binds.

    Args:
        connection: Where to. Its own cursors are not used: they may be of a kind that
            writes values into the text, which the server logs and other sessions read.
        statements: What to send, in order.
    """
    cursor = psycopg.Cursor(connection)
    for statement in statements:
        if isinstance(statement, Statement):
            cursor.execute(statement.with_percent().encode(), statement.parameters)
        else:
            cursor.execute(statement.encode())


@contextlib.contextmanager
def refusal_explained() -> Iterator[None]:
    """Stand around a transaction that applies a script.

    Raises:
        ConfigurationError: The server refused a statement.
    """
    try:
        yield
    except psycopg.Error as error:
        reason = f"the server said: {_said(error.diag) or type(error).__name__}"
        if error.sqlstate in _ABSENT:
            reason = (
                "the database does not verify tokens itself. Install the schema "
                "jwtrole with trust='database' in it first."
            )
        msg = f"Nothing was applied, {reason}"
        raise ConfigurationError(msg) from None


def _said(diagnostic: psycopg.errors.Diagnostic) -> str:
    parts = (
        diagnostic.message_primary,
        diagnostic.message_detail,
        diagnostic.message_hint,
    )
    return " / ".join(part for part in parts if part)
