"""Have PostgreSQL spell declared policies, so that texts can be compared.

On a temporary copy of the table, made from the metadata: no lock on the real one, no
rows, and columns that are yet to be added are there.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from sqlalchemy import exc

from jwtrole import catalog
from jwtrole.quoting import identifier, qualified
from sqlalchemy_jwtrole.create import execute, query

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Connection, Table

    from jwtrole.policy import Policy

__all__ = ["canonical"]

_TEMPORARY = "pg_temp"


def canonical(
    connection: Connection, table: Table, policies: Sequence[Policy]
) -> dict[str, Policy]:
    """Return the policies by name as PostgreSQL spells them.

    One that PostgreSQL cannot try out, say because it needs a type that is yet to be
    created, is left out.
    """
    found: dict[str, Policy] = {}
    try:
        with connection.begin_nested() as savepoint:
            execute(connection, [_copy(connection, table)])
            for policy in policies:
                found |= _spelled(connection, policy)
            savepoint.rollback()
    except exc.DBAPIError:
        return found
    return found


def _copy(connection: Connection, table: Table) -> str:
    columns = ", ".join(
        f"{identifier(column.name)} {column.type.compile(connection.dialect)}"
        for column in table.columns
    )
    return f"CREATE TABLE {qualified(_TEMPORARY, table.name)} ({columns})"


def _spelled(connection: Connection, policy: Policy) -> dict[str, Policy]:
    # For everybody: the roles need not exist to see how the clauses are spelled.
    trial = dataclasses.replace(policy, schema=_TEMPORARY, to=("PUBLIC",))
    try:
        with connection.begin_nested():
            execute(connection, trial.create()[:1])
    except exc.DBAPIError:
        return {}
    rows = query(connection, catalog.policies_sql(policy.table, _TEMPORARY))
    spelled = catalog.found_policies(rows, policy.table)[policy.name].policy
    return {
        policy.name: dataclasses.replace(spelled, to=policy.to, schema=policy.schema)
    }
