"""The owner's one way to its rows: for named tables, in one transaction.

FORCE ROW LEVEL SECURITY makes policies hold for the owner too, and none is for the
owner. Taken off and put back in one transaction, nobody else ever sees it off.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from sqlalchemy import Connection, Table

from jwtrole import catalog
from jwtrole.errors import ConfigurationError
from jwtrole.quoting import qualified
from sqlalchemy_jwtrole.create import execute, query

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["elevated"]


@contextmanager
def elevated(connection: Connection, *tables: Table | str) -> Iterator[None]:
    """Let the owner read and write all rows of some tables, for the length of a block.

    Nobody else can use these tables until the transaction ends. When the block fails
    nothing of it stays. In a revision of Alembic the connection is ``op.get_bind()``.

    Args:
        connection: A connection of the owner.
        tables: The tables, or their names.

    Raises:
        ConfigurationError: There is no connection, as in Alembic's offline mode.
    """
    if not isinstance(connection, Connection):
        msg = (
            "elevated() needs a connection of the owner, and there is none offline: "
            "run the revision online."
        )
        raise ConfigurationError(msg)
    names = [_name(table) for table in tables]
    with connection.begin_nested():
        forced = [qualified(s, t) for t, s in names if _is_forced(connection, t, s)]
        execute(connection, _altered(forced, "NO FORCE"))
        yield
        if forced:
            # What is deferred holds the table, and belongs to this block.
            settled = ("SET CONSTRAINTS ALL IMMEDIATE", "SET CONSTRAINTS ALL DEFERRED")
            execute(connection, settled)
        execute(connection, _altered(forced, "FORCE"))


def _name(table: Table | str) -> tuple[str, str | None]:
    return (table, None) if isinstance(table, str) else (table.name, table.schema)


def _is_forced(connection: Connection, table: str, schema: str | None) -> bool:
    found = query(connection, catalog.table_sql(table, schema))
    return bool(found and found[0][2])


def _altered(tables: list[str], how: str) -> list[str]:
    return [f"ALTER TABLE {table} {how} ROW LEVEL SECURITY" for table in tables]
