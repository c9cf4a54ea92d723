"""Have PostgreSQL spell declared policies, so that texts can be compared.

On a temporary copy of the table, made from the metadata: no lock on the real one, no
rows, and columns that are yet to be added are there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from jwtrole.canonical import TEMPORARY, read_back, trial_read_sql, trial_sql
from jwtrole.quoting import identifier, literal, qualified
from sqlalchemy_jwtrole.create import execute, query

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Connection, Table

    from jwtrole.policy import Policy

__all__ = ["canonical", "missing_right"]

_RIGHT = (
    "SELECT pg_catalog.current_database()::text, current_user::text, "
    "pg_catalog.has_database_privilege(pg_catalog.current_database(), 'TEMPORARY')"
)


def missing_right(connection: Connection) -> str | None:
    """Return what lets the owner try policies out, ``None`` where it may already.

    The schema ``jwtrole`` takes that right from everybody but the database's owner.
    """
    ((database, owner, may),) = query(connection, _RIGHT)
    if may:
        return None
    return f"GRANT TEMPORARY ON DATABASE {identifier(database)} TO {identifier(owner)}"


def canonical(
    connection: Connection, table: Table, policies: Sequence[Policy]
) -> dict[str, Policy]:
    """Return the policies by name as PostgreSQL spells them.

    One that PostgreSQL cannot try out, say because it needs a type that is yet to be
    created, is left out.
    """
    trial = trial_sql(literal(_copy(connection, table)).strip(), policies)
    with connection.begin_nested() as savepoint:
        execute(connection, [trial])
        rows = query(connection, trial_read_sql(table.name))
        savepoint.rollback()
    return read_back(rows, table.name, policies)


def _copy(connection: Connection, table: Table) -> str:
    columns = ", ".join(
        f"{identifier(column.name)} {column.type.compile(connection.dialect)}"
        for column in table.columns
    )
    return f"CREATE TABLE {qualified(TEMPORARY, table.name)} ({columns})"
