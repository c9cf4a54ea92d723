"""FORCE ROW LEVEL SECURITY, taken off and put back inside one transaction."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from django.db.backends.base.base import BaseDatabaseWrapper

__all__ = ["unforced"]

_FORCED = """
SELECT c.relforcerowsecurity FROM pg_catalog.pg_class AS c
WHERE c.oid = pg_catalog.to_regclass(%s)
"""


@contextmanager
def unforced(
    connection: BaseDatabaseWrapper,
    execute: Callable[[str], object],
    tables: Iterable[str],
) -> Iterator[None]:
    """Let the owner past row security on those of some tables that are FORCEd.

    Args:
        connection: The owner's connection, inside a transaction.
        execute: What runs a statement, or shows it.
        tables: Their names, quoted.
    """
    forced = [table for table in tables if _is_forced(connection, table)]
    for table in forced:
        execute(f"ALTER TABLE {table} NO FORCE ROW LEVEL SECURITY")
    yield
    if forced:
        # What is deferred holds the table, and belongs to this block.
        execute("SET CONSTRAINTS ALL IMMEDIATE")
        execute("SET CONSTRAINTS ALL DEFERRED")
    for table in forced:
        execute(f"ALTER TABLE {table} FORCE ROW LEVEL SECURITY")


def _is_forced(connection: BaseDatabaseWrapper, table: str) -> bool:
    if connection.vendor != "postgresql":
        return False
    with connection.cursor() as cursor:
        cursor.execute(_FORCED, [table])
        row = cursor.fetchone()
    return bool(row and row[0])
