"""What psycopg's connections of SQLAlchemy engines really send: libpq's own trace."""

from __future__ import annotations

import re
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg
from sqlalchemy import event
from sqlalchemy.pool import Pool

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

# https://www.postgresql.org/docs/current/libpq-control.html#LIBPQ-PQTRACE
_SENT = re.compile(
    r'^[^\n]*\bF\t\d+\t(?:Query\t "(?P<query>.*?)"'
    r'|Parse\t "[^"\n]*" "(?P<parse>.*?)" \d+(?: \d+)*)$',
    re.MULTILINE | re.DOTALL,
)


@contextmanager
def tapped() -> Iterator[Callable[[], list[str]]]:
    """Record what every new connection sends; call the result to read it.

    Connections of engines that nobody kept are closed in the end.
    """
    opened: list[psycopg.Connection] = []
    with tempfile.NamedTemporaryFile() as trace:

        def listen(_connection: Any, record: Any) -> None:
            connection = record.driver_connection
            if isinstance(connection, psycopg.Connection | psycopg.AsyncConnection):
                connection.pgconn.trace(trace.fileno())
            if isinstance(connection, psycopg.Connection):
                opened.append(connection)

        def sent() -> list[str]:
            text = Path(trace.name).read_text(encoding="utf-8", errors="replace")
            return [m["query"] or m["parse"] for m in _SENT.finditer(text)]

        event.listen(Pool, "connect", listen)
        try:
            yield sent
        finally:
            event.remove(Pool, "connect", listen)
            for connection in opened:
                connection.close()
