"""What protects one table in the database, read through a connection."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from jwtrole import catalog
from sqlalchemy_jwtrole.create import query

if TYPE_CHECKING:
    from sqlalchemy import Connection

__all__ = ["Live", "read"]


@dataclass(frozen=True)
class Live:
    """Be what the database has for a table.

    Args:
        exists: Whether there is such a table.
        enabled: Whether row security is on.
        forced: Whether it is on for the owner.
        policies: Its policies by name.
        privileges: Who but the owner may do what.
        sequences: Who may draw from the sequence of a column that has one.
    """

    exists: bool
    enabled: bool
    forced: bool
    policies: dict[str, catalog.Found]
    privileges: set[catalog.Privilege]
    sequences: dict[str, set[str]]


def read(connection: Connection, table: str, schema: str | None) -> Live:
    """Return what the database has for a table, all empty where there is none."""
    flags = query(connection, catalog.row_security_sql(table, schema))
    enabled, forced = flags[0] if flags else (False, False)
    policies = query(connection, catalog.policies_sql(table, schema))
    privileges = query(connection, catalog.privileges_sql(table, schema))
    sequences = query(connection, catalog.sequences_sql(table, schema))
    return Live(
        exists=bool(flags),
        enabled=enabled,
        forced=forced,
        policies=catalog.found_policies(policies, table, schema),
        privileges=catalog.found_privileges(privileges),
        sequences=catalog.found_sequences(sequences),
    )
