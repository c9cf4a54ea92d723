"""Run a script of statements for the command line, with psycopg 3."""

from __future__ import annotations

from typing import TYPE_CHECKING

import psycopg

from jwtrole.begin import Statement
from jwtrole.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["run_script"]


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

    try:
        connection = psycopg.connect(dsn)
    except psycopg.Error:
        # The driver's text may quote the connection string.
        msg = (
            "No connection could be made, so nothing was applied: try the same DSN "
            "with psql, which says more."
        )
        raise ConfigurationError(msg) from None
    try:
        with connection:
            connection.add_notice_handler(keep)
            for statement in statements:
                if isinstance(statement, Statement):
                    text = statement.with_percent()
                    connection.execute(text.encode(), statement.parameters)
                else:
                    connection.execute(statement.encode())
    except psycopg.Error as error:
        reason = _said(error.diag) or type(error).__name__
        msg = f"Nothing was applied, the server said: {reason}"
        raise ConfigurationError(msg) from None
    return warnings


def _said(diagnostic: psycopg.errors.Diagnostic) -> str:
    parts = (
        diagnostic.message_primary,
        diagnostic.message_detail,
        diagnostic.message_hint,
    )
    return " / ".join(part for part in parts if part)
